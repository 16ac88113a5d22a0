//! Every promise of the feed, and every way to lose it.

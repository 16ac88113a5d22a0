//! The judge is judged: for each mutant of the product, runs that must end with the checker that is
//! named for it saying so, and the same runs of the unchanged product, which must be clean.
//!
//! A checker that never failed proves nothing. The rules that can be broken are listed in
//! `kenger-mutant`; [`table`] says of each in which runs it shows, who has to see it, and how much time
//! there is for that.

mod campaign;
mod product;
mod report;
mod table;
mod trial;

pub use campaign::{Campaign, Control, Row};
pub use product::build;
pub use report::{list, report};
pub use table::{Catcher, Entry, Schedule, table};
pub use trial::{Found, Trial, stains};

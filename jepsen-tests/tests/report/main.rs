//! Pages of made-up runs: that they are well-formed, say what they have to say, let nothing of a run
//! act on the page, and stay small.
//!
//! The pages lie in `target/tmp/report-…/report.html` afterwards, to be looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

mod made_up;
mod page;

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;

use jepsen_tests::history::{Answer, Outcome, Record};
use jepsen_tests::report::{MemberLog, REPORT_BYTES_MAX, REPORT_FILE, ReportError, render, write_report};
use jepsen_tests::run::{HISTORY_FILE, VERDICTS_FILE, Verdicts};

use self::made_up::{Case, bad, empty, good, hostile, huge};
use self::page::Page;

/// Writes the files of a run and its report; answers where.
fn directory_of(name: &str, case: &Case) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{name}"));
    if directory.exists() {
        fs::remove_dir_all(&directory).unwrap();
    }
    fs::create_dir_all(&directory).unwrap();
    let file = File::create(directory.join(HISTORY_FILE)).unwrap();
    case.history.write(BufWriter::new(file)).unwrap();
    let failures = case.failures.clone();
    Verdicts::new(case.history.run.clone(), failures, case.findings.clone()).write(&directory).unwrap();
    for MemberLog { member, text } in &case.logs {
        fs::write(directory.join(format!("member-{member}.log")), text).unwrap();
    }
    directory
}

fn rendered(name: &str, case: &Case) -> String {
    let path = write_report(&directory_of(name, case)).unwrap();
    let text = fs::read_to_string(path).unwrap();
    assert!(text.len() <= REPORT_BYTES_MAX, "{name}: {} bytes", text.len());
    text
}

#[test]
fn a_good_run_is_shown_with_its_numbers_plots_and_logs() {
    let case = good(1);
    let text = rendered("good", &case);
    let page = Page::parse(&text);
    assert!(page.text_of("banner").starts_with("valid Every promise"), "{}", page.text_of("banner"));
    let operations = case.history.operations().count();
    let done = case.history.operations().filter(|o| matches!(o.outcome, Outcome::Done(_))).count();
    assert_eq!(page.number("operations"), operations.to_string().as_str().replacen('3', "3,", 1));
    assert_eq!(page.number("done").replace(',', ""), done.to_string());
    assert_eq!(page.number("leader changes"), "2");
    assert_eq!(page.number("faults"), "4");
    assert_eq!(page.number("seed"), "1");
    assert_eq!(page.number("began"), "2026-11-26T18:00:00Z");
    assert_eq!(page.text_of("command"), case.history.run.command);
    assert_eq!(page.count_of("timeline"), 0, "nothing failed, so there is no timeline");
    assert!(page.count_of("points") >= 5 && page.count_of("rate") >= 5);
    // A band for each fault, in the plots of the whole run.
    assert_eq!(page.count_of("band"), 4);
    assert!(page.text_of_id("logs").contains("this member leads now"));
    assert!(page.text_of_id("feed").contains("No revision is missing or came twice."));
    assert!(page.text().contains("report-good"), "it says where the files lie");
}

#[test]
fn each_kind_of_failure_is_shown_with_its_problem_and_evidence() {
    for kind in bad::KINDS {
        let case = bad::make(kind);
        let text = rendered(&format!("bad-{kind}"), &case);
        let page = Page::parse(&text);
        let Some(broken) = case.findings.iter().find(|finding| !finding.verdict.is_pass()) else {
            assert!(page.text_of("banner").contains("The run itself failed."), "{kind}");
            assert_eq!(page.text_of("failures"), case.failures[0], "{kind}");
            continue;
        };
        assert!(page.text_of("banner").contains(&broken.checker), "{kind}: {}", page.text_of("banner"));
        let checkers = page.text_of_id("checkers");
        for problem in &broken.problems {
            assert!(checkers.contains(&problem.what), "{kind}: {checkers}");
            for index in problem.records.iter().take(8) {
                assert!(checkers.contains(&format!("#{index} ")), "{kind}: {checkers}");
            }
        }
        let has_records = broken.problems.iter().any(|problem| !problem.records.is_empty());
        let has_key = broken.problems.iter().any(|problem| problem.key.is_some());
        assert_eq!(page.count_of("timeline") > 0, has_records || has_key, "{kind}");
        // Beside the entry of the legend.
        let pointed = page.count_of("bar pointed").saturating_sub(page.count_of("timeline"));
        assert_eq!(pointed > 0, has_records, "{kind}");
    }
}

#[test]
fn a_timeline_shows_what_problems_point_at_with_values_and_revisions() {
    let case = bad::make("stale-read");
    let text = render(&case.history, &case.findings, &case.logs);
    let page = Page::parse(&text);
    let problem = case.findings.iter().flat_map(|finding| &finding.problems).next().unwrap();
    let timeline = page.text_of_id("timeline-1");
    for index in &problem.records {
        let Record::Operation(operation) = &case.history.records[*index] else { panic!("an operation") };
        let Outcome::Done(Answer::Node(node)) = &operation.outcome else { panic!("it was done") };
        assert!(timeline.contains(&format!("#{index} at ")), "{timeline}");
        assert!(timeline.contains(&format!("r{}", node.mod_revision)), "{timeline}");
    }
    assert!(timeline.contains("kill 2"), "the fault that was in force is named: {timeline}");
}

#[test]
fn missing_revisions_and_snapshots_are_listed() {
    let case = bad::make("feed-gap");
    let text = render(&case.history, &case.findings, &case.logs);
    let feed = Page::parse(&text).text_of_id("feed");
    assert!(feed.contains("2 revisions missing"), "{feed}");
    assert!(feed.contains("snapshot at r"), "{feed}");
}

#[test]
fn logs_around_a_problem_are_laid_beside_the_run() {
    let case = bad::make("stale-read");
    let text = render(&case.history, &case.findings, &case.logs);
    let page = Page::parse(&text);
    let logs = page.text_of_id("logs");
    assert!(logs.contains("linearizable: stale_read"), "{logs}");
    assert!(logs.contains("20.000 s 1 WARN"), "a line of 18:00:20 lies at 20 s: {logs}");
    let mut without = case.history.clone();
    without.run.began_unix_ms = None;
    let text = render(&without, &case.findings, &case.logs);
    assert!(Page::parse(&text).text_of_id("logs").contains("the ends of the logs"));
}

#[test]
fn a_run_without_anything_is_a_page_too() {
    let case = empty();
    let text = rendered("empty", &case);
    let page = Page::parse(&text);
    assert!(page.text_of("banner").contains("No checker has judged this run."));
    assert!(page.text().contains("no operations") && page.text().contains("No fault was injected."));
    assert_eq!(page.number("operations"), "0");
}

#[test]
fn nothing_of_a_run_acts_on_the_page() {
    let case = hostile();
    let text = rendered("hostile", &case);
    let page = Page::parse(&text);
    page.has_nothing_foreign();
    // It is there, and it is text.
    assert!(page.text().contains("</script><b>"));
    assert!(!text.contains("<b>&") && !text.contains("</script>") && !text.contains('\u{1b}'));
    for case in [good(2), bad::make("lost-write")] {
        Page::parse(&render(&case.history, &case.findings, &case.logs)).has_nothing_foreign();
    }
}

#[test]
fn a_large_run_makes_a_small_page() {
    let case = huge();
    assert!(case.history.operations().count() >= 20_000);
    let text = rendered("huge", &case);
    let page = Page::parse(&text);
    // What stands out is there, however many points are left out.
    assert!(page.text_of_id("run").contains("29.0 s"), "the slowest operation is in the table");
    assert_eq!(page.text_of_id("timelines").matches("Key ").count(), 8);
    assert!(page.text_of_id("timelines").contains("have problems and no timeline"));
    assert!(text.len() < 2 << 20, "{} bytes", text.len());
}

#[test]
fn a_directory_that_is_no_run_says_what_is_wrong_with_it() {
    let directory = directory_of("broken", &empty());
    fs::write(directory.join(VERDICTS_FILE), "{}").unwrap();
    let error = write_report(&directory).unwrap_err();
    assert!(matches!(error, ReportError::Verdicts { .. }) && error.to_string().contains(VERDICTS_FILE));
    fs::remove_file(directory.join(VERDICTS_FILE)).unwrap();
    fs::write(directory.join("member-x.log"), "not a member's").unwrap();
    let page = fs::read_to_string(write_report(&directory).unwrap()).unwrap();
    assert!(page.contains("No checker has judged this run.") && !page.contains("not a member's"));
    fs::write(directory.join(HISTORY_FILE), "{\"seed\":").unwrap();
    let error = write_report(&directory).unwrap_err().to_string();
    assert!(error.contains(HISTORY_FILE) && error.contains("line 1"), "{error}");
    fs::remove_file(directory.join(HISTORY_FILE)).unwrap();
    let error = write_report(&directory).unwrap_err();
    assert!(matches!(error, ReportError::Io { .. }) && error.to_string().contains(HISTORY_FILE));
    assert!(directory.join(REPORT_FILE).exists(), "the report that was there is left alone");
}

use super::*;
use crate::model::plan::State;
use crate::model::report::FileReport;

const WRITE: How = How { write: true, full: false };

fn package(number: i64, by_state: &[(State, u64)]) -> PackageLabels {
    PackageLabels {
        number,
        nevra: format!("p{number}-1-1.noarch"),
        name: format!("p{number}"),
        by_state: by_state.iter().copied().collect(),
        written: 0,
        unsigned_programs: 0,
        foreign_programs: (0, None),
    }
}

fn file(number: i64, state: State) -> FileReport {
    FileReport {
        path: format!("/p{number}"),
        state,
        reason: String::new(),
        next: String::new(),
        package: Some(format!("p{number}-1-1.noarch")),
        key_id: None,
        written: false,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what the engine is told")]
fn found(packages: Vec<PackageLabels>, files: Vec<FileReport>) -> Outcome {
    let mut report = LabelReport { files, ..LabelReport::default() };
    report.counts.written = packages.iter().map(|package| package.written).sum();
    Ok((report, packages))
}

fn numbers(numbers: &[i64]) -> BTreeSet<i64> {
    numbers.iter().copied().collect()
}

fn surveyed(list: &[i64]) -> Event {
    Event::Surveyed(Ok(numbers(list)))
}

fn trouble(silent: bool) -> Event {
    Event::Surveyed(Err(Trouble { problem: Problem::new("broken", "mend it"), silent }))
}

/// The order that these actions begin.
fn begun(actions: &[Action]) -> Option<&Order> {
    actions.iter().find_map(|action| if let Action::Begin(order) = action { Some(order) } else { None })
}

fn has(actions: &[Action], wanted: impl Fn(&Action) -> bool) -> bool {
    actions.iter().any(wanted)
}

fn lines(actions: &[Action]) -> Vec<&Line> {
    actions.iter().filter_map(|action| if let Action::Say(line) = action { Some(line) } else { None }).collect()
}

/// An engine whose first run found packages 1 and 2.
fn running() -> Engine {
    let mut engine = Engine::new();
    assert_eq!(engine.handle(Event::Started(Saved::default()), 1), [Action::Survey]);
    assert_eq!(engine.condition(), Condition::Starting);
    let actions = engine.handle(surveyed(&[1, 2]), 2);
    let order = begun(&actions).unwrap();
    assert_eq!((order.kind, &order.selection, order.write), (Kind::Catchup, &Selection::All, true));
    let outcome = found(
        vec![package(1, &[(State::Good, 3)]), package(2, &[(State::Good, 1), (State::Unsigned, 1)])],
        vec![file(2, State::Unsigned)],
    );
    let actions = engine.handle(Event::Ended(order.id, outcome), 3);
    assert!(has(&actions, |action| matches!(action, Action::Save(saved) if saved.newest == 2)), "{actions:?}");
    assert!(has(&actions, |action| *action == Action::LookAtProgram));
    assert!(!has(&actions, |action| matches!(action, Action::Announce(_))), "no transaction was missed");
    assert_eq!(engine.condition(), Condition::Running);
    engine
}

/// Takes the engine from a closed lock to the survey's result.
fn transaction_ends(engine: &mut Engine, list: &[i64], now: u64) -> Vec<Action> {
    assert_eq!(engine.handle(Event::Changed(Change::LockClosed), now), [Action::LookAtLock]);
    assert_eq!(engine.handle(Event::Lock(Lock::Free), now), [Action::Survey]);
    engine.handle(surveyed(list), now)
}

#[test]
fn a_transaction_labels_only_what_it_brought() {
    let mut engine = running();
    let actions = transaction_ends(&mut engine, &[1, 3], 100);
    let order = begun(&actions).unwrap().clone();
    assert_eq!((order.kind, &order.selection, order.write), (Kind::Transaction, &Selection::Numbers(vec![3]), true));
    let new =
        PackageLabels { written: 2, unsigned_programs: 4, ..package(3, &[(State::Good, 2), (State::Unsigned, 4)]) };
    let actions = engine.handle(Event::Ended(order.id, found(vec![new], vec![file(3, State::Unsigned)])), 150);
    let Some(Action::Announce(transaction)) = actions.iter().find(|action| matches!(action, Action::Announce(_)))
    else {
        panic!("{actions:?}")
    };
    assert_eq!((transaction.added.as_slice(), transaction.removed), (&["p3-1-1.noarch".to_owned()][..], 1));
    assert_eq!((transaction.duration_us, transaction.labels.written, transaction.denied.len()), (50, 2, 1));
    let said = lines(&actions);
    assert!(matches!(said[0], Line::Written { labels: 2, packages: 1, .. }), "{said:?}");
    assert!(
        matches!(said[1], Line::Package(_, problem)
            if problem.what == "package p3-1-1.noarch has no signature for 4 programs and libraries"),
        "{said:?}"
    );
    let counts = engine.counts().unwrap();
    assert_eq!((counts.packages, counts.files), (2, 9));
    assert_eq!(engine.tally().files().len(), 1, "the removed package's file is gone");
}

#[test]
fn a_removal_needs_no_job_and_a_query_nothing() {
    let mut engine = running();
    assert_eq!(transaction_ends(&mut engine, &[1, 2], 9), []);
    let actions = transaction_ends(&mut engine, &[1], 10);
    assert_eq!(begun(&actions), None);
    assert!(has(&actions, |action| matches!(action, Action::Announce(t) if t.removed == 1 && t.added.is_empty())));
    assert_eq!(engine.counts().unwrap().files, 3);
}

#[test]
fn a_held_lock_is_waited_for_and_guarded_by_one_timer() {
    let mut engine = running();
    engine.handle(Event::Changed(Change::LockClosed), 5);
    assert_eq!(engine.handle(Event::Lock(Lock::Held), 5), [Action::ArmTimer]);
    engine.handle(Event::Changed(Change::DatabaseClosed), 6);
    assert_eq!(engine.handle(Event::Lock(Lock::Held), 6), [], "the timer runs already");
    assert_eq!(engine.handle(Event::Timer, 7), [Action::LookAtLock]);
    assert_eq!(engine.handle(Event::Lock(Lock::Held), 7), [Action::ArmTimer]);
    assert_eq!(engine.handle(Event::Changed(Change::LockClosed), 8), [Action::LookAtLock]);
    assert_eq!(engine.handle(Event::Lock(Lock::Free), 8), [Action::DisarmTimer, Action::Survey]);
    assert!(begun(&engine.handle(surveyed(&[1, 2, 3]), 8)).is_some());
}

#[test]
fn an_event_in_the_middle_of_a_look_is_not_lost() {
    let mut engine = running();
    engine.handle(Event::Changed(Change::LockClosed), 5);
    engine.handle(Event::Lock(Lock::Free), 5);
    assert_eq!(engine.handle(Event::Changed(Change::LockClosed), 6), []);
    assert_eq!(engine.handle(surveyed(&[1, 2]), 6), [Action::LookAtLock]);
}

#[test]
fn a_broken_database_is_said_once_and_its_return_leads_to_a_full_run() {
    let mut engine = running();
    engine.handle(Event::Changed(Change::DatabaseClosed), 5);
    engine.handle(Event::Lock(Lock::Free), 5);
    let actions = engine.handle(trouble(false), 5);
    assert_eq!(lines(&actions).len(), 1);
    assert!(!has(&actions, |action| *action == Action::ArmTimer), "inotify tells, no timer");
    assert_eq!(engine.condition(), Condition::Degraded);
    engine.handle(Event::Changed(Change::DatabaseClosed), 6);
    engine.handle(Event::Lock(Lock::Free), 6);
    assert_eq!(engine.handle(trouble(false), 6), [], "not said twice");
    let actions = transaction_ends(&mut engine, &[1, 2], 7);
    assert_eq!(lines(&actions), [&Line::DatabaseRecovered]);
    assert_eq!(begun(&actions).unwrap().selection, Selection::All);
    assert_eq!(engine.condition(), Condition::Running);
}

#[test]
fn a_lock_inside_of_the_database_is_tried_again_by_timer() {
    let mut engine = Engine::new();
    engine.handle(Event::Started(Saved::default()), 1);
    assert!(has(&engine.handle(trouble(true), 1), |action| *action == Action::ArmTimer));
    assert_eq!(engine.handle(Event::Timer, 2), [Action::LookAtLock]);
    assert_eq!(engine.handle(Event::Lock(Lock::Free), 2), [Action::Survey]);
    let actions = engine.handle(surveyed(&[1]), 2);
    assert_eq!(begun(&actions).unwrap().kind, Kind::Catchup);
}

#[test]
fn packages_that_cannot_be_read_do_not_make_a_loop() {
    let mut engine = running();
    let actions = transaction_ends(&mut engine, &[1, 2, 3], 5);
    let id = begun(&actions).unwrap().id;
    let actions = engine.handle(Event::Ended(id, Err(RunError::Database(crate::sys::rpmdb::DbError::Absent))), 6);
    assert!(!has(&actions, |action| matches!(action, Action::LookAtLock | Action::Begin(_) | Action::ArmTimer)));
    assert_eq!(engine.condition(), Condition::Degraded);
    // The next event leads to one more try, of everything, and its success ends the problem.
    let actions = transaction_ends(&mut engine, &[1, 2, 3], 7);
    let order = begun(&actions).unwrap().clone();
    assert_eq!(order.kind, Kind::Catchup);
    assert_eq!(lines(&actions), [] as [&Line; 0]);
    let actions = engine.handle(Event::Ended(order.id, found(vec![], vec![])), 8);
    assert_eq!(lines(&actions), [&Line::DatabaseRecovered]);
    assert_eq!(engine.condition(), Condition::Running);
}

#[test]
fn what_came_while_the_daemon_did_not_run_is_a_transaction_too() {
    let mut engine = Engine::new();
    engine.handle(Event::Started(Saved { newest: 2, ..Saved::default() }), 1);
    let id = begun(&engine.handle(surveyed(&[1, 2, 3]), 2)).unwrap().id;
    let packages = vec![package(1, &[(State::Good, 3)]), package(3, &[(State::Good, 1)])];
    let actions = engine.handle(Event::Ended(id, found(packages, vec![])), 3);
    assert!(has(&actions, |action| matches!(action, Action::Announce(t) if t.added == ["p3-1-1.noarch"])));
}

#[test]
fn a_transaction_does_not_wait_for_a_long_run() {
    let mut engine = Engine::new();
    engine.handle(Event::Started(Saved::default()), 1);
    let long = begun(&engine.handle(surveyed(&[1]), 2)).unwrap().id;
    let actions = transaction_ends(&mut engine, &[1, 2], 3);
    let quick = begun(&actions).unwrap().id;
    engine.handle(Event::Ended(quick, found(vec![package(2, &[(State::Good, 1)])], vec![])), 4);
    assert_eq!(engine.counts(), None, "not all is counted yet");
    engine.handle(Event::Ended(long, found(vec![package(1, &[(State::Good, 5)])], vec![])), 5);
    assert_eq!(engine.counts().unwrap().files, 6);
}

#[test]
fn orders_wait_in_turn_and_too_many_are_refused() {
    let mut engine = running();
    let order = |engine: &mut Engine, selection: Selection| {
        let id = engine.accept().unwrap();
        (id, engine.handle(Event::Ordered(id, Kind::Relabel, selection, WRITE), 5))
    };
    let (first, actions) = order(&mut engine, Selection::All);
    assert_eq!(begun(&actions).unwrap().id, first);
    let (second, actions) = order(&mut engine, Selection::All);
    assert_eq!(actions, [Action::Show(second, Kind::Relabel)]);
    let waiting: Vec<u32> = std::iter::from_fn(|| {
        let id = engine.accept()?;
        engine.handle(Event::Ordered(id, Kind::Relabel, Selection::All, WRITE), 5);
        Some(id)
    })
    .collect();
    assert_eq!(waiting.len() + 1, WAITING);
    assert_eq!(engine.handle(Event::Cancelled(second), 6), [Action::Close(second, Closed::Canceled)]);
    assert_eq!(engine.handle(Event::Cancelled(first), 6), [Action::Cancel(first)]);
    let actions = engine.handle(Event::Ended(first, Err(RunError::Cancelled)), 7);
    assert_eq!(begun(&actions).unwrap().id, waiting[0]);
}

#[test]
fn labels_written_by_path_are_counted_again() {
    let mut engine = running();
    let id = engine.accept().unwrap();
    engine.handle(Event::Ordered(id, Kind::Relabel, Selection::Paths(vec![b"/p1".to_vec()]), WRITE), 5);
    let part = PackageLabels { written: 1, ..package(1, &[(State::Good, 1)]) };
    let actions = engine.handle(Event::Ended(id, found(vec![part], vec![])), 6);
    let order = begun(&actions).unwrap();
    assert_eq!((order.kind, &order.selection, order.write), (Kind::Check, &Selection::Numbers(vec![1]), false));
    assert_eq!(engine.counts().unwrap().files, 5);
}

#[test]
fn a_new_program_is_executed_when_nothing_else_is_to_be_done() {
    let mut engine = running();
    assert_eq!(engine.handle(Event::Program(Program::Same), 4), []);
    let actions = transaction_ends(&mut engine, &[1, 2, 3], 5);
    let id = begun(&actions).unwrap().id;
    let wanted = engine.accept().unwrap();
    engine.handle(Event::Ordered(wanted, Kind::Relabel, Selection::All, WRITE), 5);
    let actions = engine.handle(Event::Ended(id, found(vec![package(3, &[(State::Good, 1)])], vec![])), 6);
    assert!(!has(&actions, |action| *action == Action::LookAtProgram), "a job is left");
    let actions = engine.handle(Event::Ended(wanted, found(vec![], vec![])), 7);
    assert!(has(&actions, |action| *action == Action::LookAtProgram));
    let denied = Problem::new("unsigned", "reinstall");
    let actions = engine.handle(Event::Program(Program::Denied(denied)), 8);
    assert!(!has(&actions, |action| *action == Action::Execute));
    assert_eq!(engine.condition(), Condition::Degraded);
    assert_eq!(engine.handle(Event::Program(Program::Replaced), 9), [Action::Say(Line::Reexec), Action::Execute]);
}

#[test]
fn it_ends_when_the_last_job_has_ended() {
    let mut engine = running();
    let id = engine.accept().unwrap();
    engine.handle(Event::Ordered(id, Kind::Relabel, Selection::All, WRITE), 5);
    assert_eq!(engine.handle(Event::Stop, 6), [Action::Cancel(id), Action::LookAtLock]);
    assert_eq!(engine.accept(), None);
    assert!(!engine.owes_the_next_boot());
    engine.handle(Event::Lock(Lock::Held), 6);
    let actions = engine.handle(Event::Ended(id, Err(RunError::Cancelled)), 7);
    assert_eq!(actions, [Action::Close(id, Closed::Canceled), Action::Gather, Action::Exit]);
}

#[test]
fn the_first_run_is_broken_off_at_the_end() {
    let mut engine = Engine::new();
    assert_eq!(engine.handle(Event::Stop, 6), [Action::Exit]);
    let mut engine = Engine::new();
    engine.handle(Event::Started(Saved::default()), 1);
    let catchup = begun(&engine.handle(surveyed(&[1, 2]), 2)).unwrap().id;
    assert_eq!(engine.handle(Event::Stop, 6), [Action::Cancel(catchup), Action::LookAtLock]);
    engine.handle(Event::Ended(catchup, Err(RunError::Cancelled)), 7);
    engine.handle(Event::Lock(Lock::Free), 7);
    // All is to be gone through again at the next start, what came last too.
    assert_eq!(engine.handle(surveyed(&[1, 2, 3]), 8).last(), Some(&Action::Exit));
}

#[test]
fn what_a_transaction_brought_right_before_the_end_is_labelled() {
    let mut engine = running();
    assert_eq!(engine.handle(Event::Stop, 6), [Action::LookAtLock]);
    assert_eq!(engine.handle(Event::Lock(Lock::Free), 7), [Action::Survey]);
    let actions = engine.handle(surveyed(&[1, 2, 9]), 8);
    let order = begun(&actions).unwrap();
    assert_eq!((order.kind, order.added.clone()), (Kind::Transaction, numbers(&[9])));
    assert!(!has(&actions, |action| *action == Action::Exit));
    assert!(engine.owes_the_next_boot());
    let actions = engine.handle(Event::Ended(order.id, found(vec![package(9, &[(State::Good, 1)])], vec![])), 9);
    assert!(has(&actions, |action| *action == Action::CheckNextBoot), "{actions:?}");
    assert!(!has(&actions, |action| *action == Action::Exit));
    assert_eq!(engine.handle(Event::NextBoot(next_boot(true, &[])), 10).last(), Some(&Action::Exit));
    assert!(!engine.owes_the_next_boot());
}

#[test]
fn problems_are_said_once_and_degrade() {
    let mut engine = running();
    let full = || Some(Problem::new("/var/lib/imad: no space left", "df -h /var/lib/imad"));
    assert_eq!(lines(&engine.handle(Event::Problem(Source::State, full()), 5)).len(), 1);
    assert_eq!(engine.handle(Event::Problem(Source::State, full()), 6), []);
    assert_eq!((engine.condition(), engine.problems().len()), (Condition::Degraded, 1));
    engine.handle(Event::Problem(Source::State, None), 7);
    assert_eq!(engine.condition(), Condition::Running);
}

fn next_boot(ready: bool, packages: &[&str]) -> NextBootState {
    NextBootState {
        ready,
        summary: format!("The next boot is {ready}."),
        packages: packages.iter().map(|&name| name.to_owned()).collect(),
        ..NextBootState::default()
    }
}

/// What an engine does that has seen a transaction through which brought package 3.
fn after_transaction(engine: &mut Engine) -> Vec<Action> {
    let lock = engine.handle(Event::Changed(Change::LockClosed), 10);
    assert!(has(&lock, |action| *action == Action::LookAtLock));
    engine.handle(Event::Lock(Lock::Free), 11);
    let actions = engine.handle(surveyed(&[1, 2, 3]), 12);
    let id = begun(&actions).unwrap().id;
    engine.handle(Event::Ended(id, found(vec![package(3, &[(State::Unsigned, 1)])], vec![])), 13)
}

#[test]
fn a_transaction_that_endangers_the_next_boot_is_said_with_its_package() {
    let mut engine = running();
    let actions = after_transaction(&mut engine);
    assert!(has(&actions, |action| *action == Action::CheckNextBoot), "{actions:?}");
    let actions = engine.handle(Event::NextBoot(next_boot(false, &["bash-5-1.noarch"])), 14);
    let said = lines(&actions);
    let [Line::NextBoot { ready: false, problem, packages }] = said[..] else { panic!("{said:?}") };
    assert_eq!(problem.what, "The next boot is false; packages with such files: bash-5-1.noarch");
    assert_eq!(packages, "bash-5-1.noarch");
    assert!(has(&actions, |action| matches!(action, Action::Motd(Some(text)) if text.contains("is false"))));
    assert!(has(&actions, |action| *action == Action::Gather));

    // The same again is not news; that it is over is.
    engine.handle(Event::NextBootOutdated, 15);
    let actions = engine.handle(Event::NextBoot(next_boot(false, &["bash-5-1.noarch"])), 16);
    assert!(lines(&actions).is_empty());
    engine.handle(Event::NextBootOutdated, 17);
    let actions = engine.handle(Event::NextBoot(next_boot(true, &[])), 18);
    assert!(matches!(lines(&actions)[..], [Line::NextBoot { ready: true, .. }]), "{actions:?}");
    assert!(has(&actions, |action| *action == Action::Motd(None)));
    engine.handle(Event::NextBootOutdated, 19);
    assert!(lines(&engine.handle(Event::NextBoot(next_boot(true, &[])), 20)).is_empty());
}

#[test]
fn an_image_without_a_package_in_the_way_names_what_came_last() {
    let mut engine = running();
    after_transaction(&mut engine);
    let actions = engine.handle(Event::NextBoot(next_boot(false, &[])), 14);
    let said = lines(&actions);
    let [Line::NextBoot { problem, .. }] = said[..] else { panic!("{said:?}") };
    assert_eq!(problem.what, "The next boot is false; what came last: p3-1-1.noarch");
}

#[test]
fn an_answer_that_packages_overtook_is_none() {
    let mut engine = running();
    assert_eq!(engine.handle(Event::NextBootOutdated, 9), [Action::CheckNextBoot]);
    let actions = after_transaction(&mut engine);
    assert!(!has(&actions, |action| *action == Action::CheckNextBoot), "one at a time");
    assert_eq!(engine.handle(Event::NextBoot(next_boot(true, &[])), 14), [Action::CheckNextBoot]);
    let actions = engine.handle(Event::NextBoot(next_boot(true, &[])), 15);
    assert_eq!(actions, [Action::Motd(None), Action::Gather]);
}

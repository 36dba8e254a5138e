//! Answers to what the bus asks.
#![forbid(unsafe_code)]

use serde::Serialize;
use zbus::DBusError;

use super::authorize::{authorize, is_root};
use super::event::Event;
use super::run::{Input, Shell};
use super::turn::Turn;
use super::work;
use crate::bus::error::{Error, Failure};
use crate::bus::job::Kind;
use crate::bus::labels::Page;
use crate::bus::request::{Ask, Caller, How, Reply, Request, Subject};
use crate::bus::{INSPECT_FILES, MANAGE_LABELS};
use crate::model::plan::State;
use crate::model::report::{FileReport, Problem};
use crate::ops::labels::{RunError, Selection};
use crate::ops::{explain, keys};

/// Files in one page at most.
const PAGE: u64 = 1000;

/// The answer to `Explain`.
#[derive(Debug, Serialize)]
struct Explained {
    file: FileReport,
    problems: Vec<Problem>,
}

/// Sends an answer. Who left without waiting for it does not miss it.
fn answer<T>(reply: Reply<T>, result: Result<T, impl Into<Failure>>) {
    drop(reply.send(result.map_err(Into::into)));
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Error::Failed(error.to_string()).into())
}

fn refuse(ask: Ask, failure: Failure) {
    match ask {
        Ask::Status(reply) | Ask::Explain(_, reply) | Ask::Report(_, reply) => answer(reply, Err(failure)),
        Ask::Relabel(_, _, reply) => answer(reply, Err(failure)),
        Ask::List(_, _, _, reply) => answer(reply, Err(failure)),
        Ask::Cancel(_, reply) => answer(reply, Err(failure)),
    }
}

impl Shell {
    /// Finds out, beside the loop, whether somebody may have what he asks for.
    pub(super) fn request(&self, request: Request) {
        let Some(served) = &self.served else {
            return refuse(request.ask, Error::Failed("the bus is gone".to_owned()).into());
        };
        let owns = |id: &u32| {
            self.jobs
                .get(id)
                .and_then(|job| job.owner.as_ref())
                .is_some_and(|owner| owner.name == request.caller.name && !owner.name.is_empty())
        };
        let action = match &request.ask {
            Ask::Status(_) => None,
            Ask::Report(id, _) if owns(id) => return self.send(Input::Granted(request, false)),
            Ask::Cancel(id, _) if owns(id) => return self.send(Input::Granted(request, false)),
            Ask::Relabel(..) | Ask::Cancel(..) => Some(MANAGE_LABELS),
            Ask::Explain(..) | Ask::List(..) | Ask::Report(..) => Some(INSPECT_FILES),
        };
        let (bus, inputs) = (served.connection.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let granted = match action {
                None => Ok(is_root(&bus, &request.caller).await),
                Some(action) => authorize(&bus, &request.caller, action).await.map(|()| false),
            };
            match granted {
                Ok(root) => inputs.send(Input::Granted(request, root)).unwrap_or_default(),
                Err(failure) => {
                    tracing::debug!(caller = request.caller.name, "refused: {}", failure.name());
                    refuse(request.ask, failure);
                }
            }
        });
    }

    /// Does what somebody may ask for.
    pub(super) async fn granted(&mut self, Request { caller, ask }: Request, root: bool) {
        match ask {
            Ask::Status(reply) => {
                // What is being gathered now may be older than the question.
                let waiting = usize::from(self.gathering != Turn::Free);
                self.waiting[waiting].push((reply, root));
                if waiting == 0 {
                    self.gather();
                }
            }
            Ask::Relabel(subject, how, reply) => self.relabel(caller, subject, how, reply).await,
            Ask::Explain(path, reply) => self.explain(path, reply),
            Ask::List(state, offset, limit, reply) => answer(reply, self.list(&state, offset, limit)),
            Ask::Report(id, reply) => answer(reply, self.report(id)),
            Ask::Cancel(id, reply) => {
                let is_there = self.jobs.get(&id).is_some_and(|job| !job.record.snapshot().state.is_final());
                if is_there {
                    self.event(Event::Cancelled(id)).await;
                    answer(reply, Ok::<(), Failure>(()));
                } else {
                    answer(reply, Err(no_such_job(id)));
                }
            }
        }
    }

    /// Answers everybody who waited for the status; single files are for root only.
    pub(super) fn answer_status(&self, waiting: Vec<(Reply<String>, bool)>) {
        for (reply, root) in waiting {
            let mut status = self.desk.view().status.clone();
            if let (false, Some(transaction)) = (root, &mut status.last_transaction) {
                transaction.denied.clear();
            }
            answer(reply, json(&status));
        }
    }

    async fn relabel(&mut self, caller: Caller, subject: Subject, how: How, reply: Reply<zbus::OwnedObjectPath>) {
        let Some(id) = self.engine.accept() else {
            return answer(reply, Err(Error::Busy("too many jobs wait. Next: wait for one to end".to_owned())));
        };
        let selection = match subject {
            Subject::All => Selection::All,
            Subject::Packages(packages) => Selection::Packages(packages),
            Subject::Paths(paths) => Selection::Paths(paths),
        };
        let kind = if how.write { Kind::Relabel } else { Kind::Check };
        self.owner = Some(caller);
        self.event(Event::Ordered(id, kind, selection, how)).await;
        let path = self.jobs.get(&id).map(|job| job.record.path());
        answer(reply, path.ok_or_else(|| no_such_job(id)));
    }

    fn explain(&self, path: String, reply: Reply<String>) {
        let (root, config) = (self.root.clone(), self.config.clone());
        work::beside(move || {
            let found = keys::gather(&root, &config.keys.dir);
            let result = match explain::explain(&root, &config.labels, &found.trust, &path) {
                Ok((file, problems)) => json(&Explained { file, problems }),
                Err(error) => Err(of_run(&error).into()),
            };
            answer(reply, result);
        });
    }

    fn list(&self, state: &str, offset: u64, limit: u64) -> Result<Page, Error> {
        let wanted = State::ALL.into_iter().find(|known| known.name() == state);
        if wanted.is_none() && !state.is_empty() {
            return Err(Error::InvalidArgument(format!("\"{state}\" is no state of a label")));
        }
        let is_wanted = |state: State| match wanted {
            Some(wanted) => state == wanted,
            None => !matches!(state, State::Good | State::Excluded | State::Absent),
        };
        let counts = self.engine.counts().unwrap_or_default();
        let total = counts.by_state.iter().filter(|(state, _)| is_wanted(**state)).map(|(_, count)| count).sum();
        let page = self.engine.tally().files().iter().filter(|file| is_wanted(file.state));
        let page = page
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .take(usize::try_from(limit.min(PAGE)).unwrap_or(0))
            .cloned()
            .map(|file| {
                let FileReport { path, state, package, reason, next, .. } = file;
                (path, state.name().to_owned(), package.unwrap_or_default(), reason, next)
            });
        Ok((page.collect(), total))
    }

    fn report(&self, id: u32) -> Result<String, Failure> {
        let job = self.jobs.get(&id).ok_or_else(|| no_such_job(id))?;
        match (&job.report, job.record.snapshot()) {
            (Some(report), _) => json(report),
            (None, snapshot) if !snapshot.state.is_final() => {
                Err(Error::Busy(format!("job {id} has not ended. Next: wait for its JobRemoved")).into())
            }
            (None, _) => Err(Error::Failed(format!("job {id} was not done and has no report")).into()),
        }
    }
}

fn no_such_job(id: u32) -> Error {
    Error::NoSuchJob(format!("there is no job {id}, or it has ended. Next: call GetJobs of org.imad1.Manager"))
}

fn of_run(error: &RunError) -> Error {
    let text = Error::text(&Problem::new(error.to_string(), error.next_step()));
    match error {
        RunError::Database(_) => Error::Database(text),
        RunError::NoSuchPackage(_) => Error::NoSuchPackage(text),
        RunError::NoSpace { .. } => Error::NoSpace(text),
        RunError::Cancelled => Error::Canceled(text),
    }
}

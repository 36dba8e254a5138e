//! Any bytes as a header of the package database, or as rpm's answer about one: nothing panics, an error says something,
//! and what is walked over is what is copied.
#![no_main]

use imad::model::rpm::{File, Header, Package, hard_links, query};
use libfuzzer_sys::fuzz_target;

fn judge(bytes: &[u8]) {
    let package = Package::parse(bytes);
    if let Err(error) = &package {
        assert!(!error.to_string().is_empty());
    }
    let files = Header::parse(bytes).and_then(|header| header.files());
    let Ok(files) = files else { return assert!(package.is_err()) };
    // Whatever a header claims: it has no more files than bytes.
    assert!(files.len() <= bytes.len());
    let walked: Result<Vec<_>, _> = files.iter().collect();
    let Ok(package) = package else { return };
    let walked = walked.expect("what is copied was walked over");
    assert_eq!((walked.len(), package.files.len()), (files.len(), files.len()));
    let (mut path, mut label) = (Vec::new(), Vec::new());
    for (view, copy) in walked.iter().zip(&package.files) {
        view.path_into(&mut path);
        assert_eq!((&path, view.link(), view.size, view.state), (&copy.path, copy.link, copy.size, copy.state));
        let is_signed = view.signature_into(&mut label).expect("it was decoded before");
        assert_eq!(is_signed.then_some(&label), copy.signature.as_ref());
    }
    assert_eq!(hard_links(walked.iter().map(File::link)), package.hard_links());
}

fuzz_target!(|bytes: &[u8]| {
    judge(bytes);
    if let Ok(packages) = query::headers(bytes) {
        packages.iter().for_each(|(_, blob)| judge(blob));
    }
    let _ = query::rows(bytes);
});

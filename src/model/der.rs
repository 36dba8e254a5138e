//! Just enough DER to find what the kernel looks at in a certificate and OpenSSL's safe interface does not show.
//!
//! Reads only; a certificate is first accepted by OpenSSL, so this needs no more than to walk definite lengths.
#![forbid(unsafe_code)]

/// One element: its tag byte and its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
}

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;

/// Takes the first element off `input`.
pub(super) fn next<'a>(input: &mut &'a [u8]) -> Option<Element<'a>> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let mut length = 0usize;
        for &byte in bytes {
            length = length.checked_mul(256)?.checked_add(usize::from(byte))?;
        }
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some(Element { tag, content })
}

/// The content of the first element, if it has this tag.
pub(super) fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    next(input).filter(|element| element.tag == tag).map(|element| element.content)
}

/// The value (content of the OCTET STRING) of the extension with this OID in a certificate.
pub(super) fn extension<'a>(certificate: &'a [u8], oid: &[u8]) -> Option<&'a [u8]> {
    const EXTENSIONS: u8 = 0xa3;
    let mut input = certificate;
    let mut outer = expect(&mut input, SEQUENCE)?;
    let mut tbs = expect(&mut outer, SEQUENCE)?;
    let mut list = loop {
        let element = next(&mut tbs)?;
        if element.tag == EXTENSIONS {
            let mut wrapped = element.content;
            break expect(&mut wrapped, SEQUENCE)?;
        }
    };
    while let Some(element) = next(&mut list) {
        let mut extension = element.content;
        if expect(&mut extension, OID)? != oid {
            continue;
        }
        let value = next(&mut extension)?;
        let value = if value.tag == BOOLEAN { next(&mut extension)? } else { value };
        return (value.tag == OCTET_STRING).then_some(value.content);
    }
    None
}

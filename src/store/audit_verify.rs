//! Whether an audit trail is what was written.

use super::audit::mac;
use crate::domain::{AuditFault, AuditHead, AuditRecord, AuditVerdict, Secret};
use rusqlite::types::ValueRef;

/// Faults that are told; one is enough to know.
const TOLD: usize = 20;

/// Looks at the records of a trail in their order.
pub struct Verifier {
    key: Secret,
    anchor: Option<AuditHead>,
    /// Whether the trail has to begin with its first record.
    whole: bool,
    verdict: AuditVerdict,
}

/// One record as it stands in the store, whatever somebody has made of it.
pub(super) struct Raw<'a> {
    pub n: i64,
    /// Number, time, who, means, place, action, object, count, detail.
    pub values: [ValueRef<'a>; 9],
    pub mac: &'a [u8],
}

impl Verifier {
    /// For a whole trail, held against its anchor where there is one.
    pub fn new(key: Secret, anchor: Option<AuditHead>) -> Self {
        Self {
            key,
            whole: true,
            verdict: AuditVerdict {
                anchored: anchor.as_ref().map(|anchor| anchor.n),
                ..AuditVerdict::default()
            },
            anchor,
        }
    }

    /// For a part of a trail, from any record on: the MAC of the first one can be checked only
    /// where that is the first of all.
    pub fn part(key: Secret, anchor: Option<AuditHead>) -> Self {
        Self {
            whole: false,
            ..Self::new(key, anchor)
        }
    }

    /// Looks at the next record.
    pub fn look(&mut self, it: &AuditRecord) {
        self.look_raw(&Raw {
            n: it.n,
            values: [
                ValueRef::Integer(it.n),
                ValueRef::Integer(it.at),
                ValueRef::from(&*it.by),
                ValueRef::from(&*it.via),
                ValueRef::from(&*it.from),
                ValueRef::from(&*it.action),
                ValueRef::from(&*it.object),
                ValueRef::Integer(it.count),
                ValueRef::from(&*it.detail),
            ],
            mac: &it.mac,
        });
    }

    pub(super) fn look_raw(&mut self, it: &Raw) {
        self.verdict.records += 1;
        self.verdict.first.get_or_insert(it.n);
        let expected = match &self.verdict.head {
            Some(head) => head.n.saturating_add(1),
            None if self.whole => 1,
            None => it.n,
        };
        if it.n < expected || it.n < 1 {
            self.fault(AuditFault::Foreign(it.n));
        } else if it.n > expected {
            self.fault(AuditFault::Missing(expected, it.n - 1));
        } else if !self.follows(it) {
            self.fault(AuditFault::Changed(it.n));
        }
        let head = AuditHead {
            n: it.n,
            mac: it.mac.to_vec(),
        };
        if self
            .anchor
            .as_ref()
            .is_some_and(|a| a.n == it.n && *a != head)
        {
            self.fault(AuditFault::NotAnchored(it.n));
        }
        self.verdict.head = Some(head);
    }

    /// Whether its MAC is right, as far as that can be known.
    fn follows(&self, it: &Raw) -> bool {
        let before: &[u8] = match &self.verdict.head {
            Some(head) => &head.mac,
            None if it.n == 1 => &[],
            None => return true,
        };
        let values = std::iter::once(ValueRef::Blob(before)).chain(it.values.iter().copied());
        mac(&self.key, values) == it.mac
    }

    fn fault(&mut self, fault: AuditFault) {
        if self.verdict.faults.len() < TOLD {
            self.verdict.faults.push(fault);
        }
    }

    /// What was found.
    pub fn finish(mut self) -> AuditVerdict {
        let last = self.verdict.head.as_ref().map_or(0, |head| head.n);
        if let Some(anchored) = self.verdict.anchored.filter(|anchored| *anchored > last) {
            self.fault(AuditFault::Truncated(last, anchored));
        }
        self.verdict
    }
}

//! Keeps parameter sets by their id; the last set of an id is valid (ITU-T H.264, 7.4.1.2.1). Pure.

use crate::{
    level::Level,
    video::h264::{
        IDR, PPS, SPS, is_slice, kind, slice_header,
        sps::{self, Bits, Sps},
    },
};

/// How many sets are kept, and how long each may be in bytes. Real streams have less.
const MOST: usize = 32;
const LENGTH: usize = 1024;
/// The largest picture that is passed on, in pixels, which is what our own encoders make at most. A viewer's decoder
/// allocates memory for any size in a parameter set.
const LARGEST: (u32, u32) = (3840, 2160);
/// The coded size may be this many pixels larger: it is a multiple of 16, or of 32 for fields.
const ROUNDED: u32 = 31;

/// The parameter sets of a stream.
#[derive(Debug, Default)]
pub(crate) struct ParameterSets {
    /// In the order in which they came.
    list: Vec<ParameterSet>,
    /// Why a set was refused.
    refused: Option<String>,
}

#[derive(Debug)]
struct ParameterSet {
    kind: u8,
    id: u32,
    /// The id of the SPS that a PPS refers to.
    of: u32,
    bytes: Vec<u8>,
    sps: Option<Sps>,
    /// Whether its current contents were sent.
    sent: bool,
}

impl ParameterSets {
    /// Stores the parameter sets of an access unit. Returns whether a decoder can start with it.
    pub(crate) fn take_in(&mut self, nals: &[&[u8]]) -> bool {
        nals.iter().for_each(|nal| self.learn(nal));
        nals.iter().find(|nal| is_slice(nal)).is_some_and(|slice| kind(slice) == IDR && self.has_those_of(slice))
    }

    /// Stores a NAL unit if it is a parameter set.
    pub(crate) fn learn(&mut self, nal: &[u8]) {
        if nal.len() > LENGTH {
            return;
        }
        let (sps, ids) = match kind(nal) {
            SPS => (sps::parse(nal), sps::id(nal).map(|id| (id, id))),
            PPS => (None, pps_ids(nal)),
            _ => return,
        };
        let Some((id, of)) = ids else { return };
        let same = |set: &ParameterSet| set.kind == kind(nal) && set.id == id;
        if self.list.iter().any(|set| same(set) && set.bytes == nal) {
            return;
        }
        self.list.retain(|set| !same(set));
        if let Some(refused) = sps.and_then(|sps| too_large(sps.coded)) {
            // The slices that follow do not belong to the set before. Without a set, no frame counts as a start.
            self.refused = Some(refused);
            return;
        }
        if self.list.len() == MOST {
            self.list.remove(0);
        }
        self.list.push(ParameterSet { kind: kind(nal), id, of, bytes: nal.to_vec(), sps, sent: false });
    }

    /// The sets to send before a frame: all, or those that changed; SPS first.
    pub(crate) fn all(&self, all: bool) -> impl Iterator<Item = &[u8]> {
        let of = move |kind: u8| self.list.iter().filter(move |set| set.kind == kind && (all || !set.sent));
        of(SPS).chain(of(PPS)).map(|set| set.bytes.as_slice())
    }

    /// The sets returned by [`ParameterSets::all`] were sent.
    pub(crate) fn sent(&mut self) {
        self.list.iter_mut().for_each(|set| set.sent = true);
    }

    /// Whether a decoder that has all sets can decode this slice.
    pub(crate) fn has_those_of(&self, nal: &[u8]) -> bool {
        slice_header::parse(nal).is_some_and(|slice| self.sps_of(slice.set).is_some())
    }

    fn sps_of(&self, pps: u32) -> Option<&ParameterSet> {
        let of = self.list.iter().find(|set| set.kind == PPS && set.id == pps)?.of;
        self.list.iter().find(|set| set.kind == SPS && set.id == of)
    }

    /// The SPS of the slices that refer to this PPS; `None` if it is unknown.
    pub(crate) fn sps(&self, pps: u32) -> Option<&Sps> {
        self.sps_of(pps)?.sps.as_ref()
    }

    /// All SPS.
    pub(crate) fn every_sps(&self) -> impl Iterator<Item = &Sps> {
        self.list.iter().filter_map(|set| set.sps.as_ref())
    }

    /// The level that a decoder needs: the highest that an SPS gives, or that its size needs. `None` without an SPS.
    pub(crate) fn level(&self) -> Option<Level> {
        let of = |set: &ParameterSet| {
            let declared = Level::of(*set.bytes.get(1..)?.first_chunk()?);
            let size = set.sps.map(|sps| Level::of_size(sps.coded.0.div_ceil(16) * sps.coded.1.div_ceil(16)));
            Some(size.map_or(declared, |size| declared.max(size)))
        };
        self.list.iter().filter(|set| set.kind == SPS).filter_map(of).max()
    }

    /// Why a set was refused; `None` if none was.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}

fn too_large((width, height): (u32, u32)) -> Option<String> {
    let (long, short) = (width.max(height), width.min(height));
    (long > LARGEST.0 + ROUNDED || short > LARGEST.1 + ROUNDED).then(|| {
        format!(
            "its parameter set has {width}x{height}; {}x{} is the largest size that can be sent",
            LARGEST.0, LARGEST.1
        )
    })
}

fn pps_ids(nal: &[u8]) -> Option<(u32, u32)> {
    let rbsp = sps::without_emulation(nal.get(1..nal.len().min(16))?);
    let mut bits = Bits { bytes: &rbsp, at: 0 };
    let id = bits.golomb().filter(|id| *id < 256)?;
    Some((id, bits.golomb().filter(|id| *id < 32)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sps(id: u8, rest: u8) -> Vec<u8> {
        // `1`, `010`, `011`: ids 0, 1 and 2.
        vec![0x67, 0x42, 0xC0, 0x1F, [0x80, 0x40, 0x60][usize::from(id)] | 1, rest, 1]
    }

    fn pps(id: u8, rest: u8) -> Vec<u8> {
        // The id, then `1`: it refers to SPS 0.
        vec![0x68, [0xC0, 0x50, 0x70][usize::from(id)], rest]
    }

    fn sent(sets: &mut ParameterSets, all: bool) -> Vec<Vec<u8>> {
        let list = sets.all(all).map(<[u8]>::to_vec).collect();
        sets.sent();
        list
    }

    #[test]
    fn of_each_id_the_last_one_counts() {
        let mut sets = ParameterSets::default();
        for set in [pps(0, 1), sps(0, 1), pps(1, 1), pps(0, 2), sps(1, 1), pps(0, 1)] {
            sets.learn(&set);
        }
        assert_eq!(sent(&mut sets, true), [sps(0, 1), sps(1, 1), pps(1, 1), pps(0, 1)]);
        assert!(sent(&mut sets, false).is_empty(), "nothing new");
        // New contents for an SPS. The PPS that refer to it still do.
        sets.learn(&sps(0, 2));
        sets.learn(&pps(1, 1));
        assert_eq!(sent(&mut sets, false), [sps(0, 2)]);
        assert_eq!(sent(&mut sets, true), [sps(1, 1), sps(0, 2), pps(1, 1), pps(0, 1)]);
    }

    #[test]
    fn a_slice_needs_its_own_sets() {
        let mut sets = ParameterSets::default();
        // first_mb 0, type 7, set 0: `1 0001000 1`; set 1: `1 0001000 010`.
        let (of_0, of_1) = ([0x65, 0x88, 0x80], [0x65, 0x88, 0x40]);
        assert!(!sets.has_those_of(&of_0));
        sets.learn(&pps(0, 1));
        assert!(!sets.has_those_of(&of_0));
        sets.learn(&sps(1, 1));
        assert!(!sets.has_those_of(&of_0), "of another id");
        sets.learn(&sps(0, 1));
        assert!(sets.has_those_of(&of_0));
        assert!(!sets.has_those_of(&of_1));
        assert!(!sets.has_those_of(&[0x65]), "half a slice");
    }

    #[test]
    fn a_stream_cannot_make_it_remember_more_and_more() {
        let mut sets = ParameterSets::default();
        for i in 0..60_000_u16 {
            let [a, b] = i.to_be_bytes();
            sets.learn(&[0x68, a, b, 1]);
            sets.learn(&[0x67, a, b, b, a, 1]);
        }
        assert!(sets.list.len() <= MOST);
        sets.learn(&[0x67; LENGTH + 1]);
        assert!(sets.list.iter().all(|set| set.bytes.len() <= LENGTH));
        for empty in [&[][..], &[0x67], &[0x68], &[0x67, 0, 0, 0], &[0x68, 0]] {
            sets.learn(empty);
        }
    }

    #[test]
    fn a_size_beyond_all_decoders_is_not_passed_on() {
        let mut sets = ParameterSets::default();
        let huge = sps::tests::bare((16_384, 16_384));
        assert_eq!(sps::parse(&huge).unwrap().size, (16_384, 16_384));
        sets.learn(&pps(0, 1));
        sets.learn(&huge);
        assert!(!sets.has_those_of(&[0x65, 0x88, 0x80]));
        assert_eq!(sent(&mut sets, true), [pps(0, 1)]);
        assert!(sets.refused().unwrap().contains("16384x16384"), "{:?}", sets.refused());

        // A decoder allocates memory for the cropped part too.
        let mut sets = ParameterSets::default();
        let cropped = sps::tests::cropped((16_384, 16_384), (640, 480));
        assert_eq!(sps::parse(&cropped).unwrap().size, (640, 480));
        sets.learn(&cropped);
        assert!(sent(&mut sets, true).is_empty());
        assert!(sets.refused().unwrap().contains("16384x16384"), "{:?}", sets.refused());
        let mut sets = ParameterSets::default();
        sets.learn(&sps::tests::bare((3840, 2160)));
        sets.learn(&sps::tests::bare((2160, 3840)));
        assert_eq!(sets.refused(), None, "upright, its coded size is 2160x3840");
    }

    #[test]
    fn the_level_is_the_highest_that_is_said_or_needed() {
        let level = |all: &[Vec<u8>]| {
            let mut sets = ParameterSets::default();
            all.iter().for_each(|nal| sets.learn(nal));
            sets.level().map(|level| level.to_string())
        };
        assert_eq!(level(&[]), None);
        assert_eq!(level(&[pps(0, 1)]), None);
        assert_eq!(level(&[sps(0, 1)]).as_deref(), Some("3.1"), "damaged behind its first bytes");
        let small = sps::tests::bare((320, 240));
        assert_eq!(level(std::slice::from_ref(&small)).as_deref(), Some("1.1"), "it says 0, and its size needs more");
        let mut said = small;
        said[3] = 40;
        assert_eq!(level(&[sps(1, 1), said]).as_deref(), Some("4.0"));
        assert_eq!(level(&[sps::tests::bare((1920, 1080))]).as_deref(), Some("4.0"));
    }
}

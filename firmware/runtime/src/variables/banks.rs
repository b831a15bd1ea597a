//! Two copies of what outlives a reset, of which one is whole at any time (UEFI 2.11, section 8.2.2: a variable has its
//! previous value or its new one, whenever power fails).

use core::sync::atomic::{Ordering, fence};

use super::{Kept, Seal, Store};

/// Two stores with their seals; which of them is in use is kept elsewhere, and found by [`recover`](Self::recover).
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Banks<const SIZE: usize> {
    seals: [Seal; 2],
    stores: [[u8; SIZE]; 2],
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bank {
    /// The first.
    First,
    /// The second.
    Second,
}

impl Bank {
    /// This one of a pair, and the other.
    fn of<T>(self, [first, second]: &mut [T; 2]) -> (&mut T, &mut T) {
        match self {
            Self::First => (first, second),
            Self::Second => (second, first),
        }
    }

    fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

impl<const SIZE: usize> Banks<SIZE> {
    /// Begins with nothing, whatever is there, in the bank that is returned.
    pub fn clear(&mut self) -> Bank {
        self.seals = [Seal::over(0, Kept::FIRST, &[]); 2];
        Bank::First
    }

    /// The bank that was sealed last and is whole. When neither is, one with nothing in it.
    pub fn recover(&mut self) -> Bank {
        let [first, second] = &self.seals;
        let [in_first, in_second] = &self.stores;
        match (first.opens(in_first), second.opens(in_second)) {
            (None, None) => self.clear(),
            (Some(_), Some(_)) if second.is_newer(first) => Bank::Second,
            (Some(_), _) => Bank::First,
            (None, Some(_)) => Bank::Second,
        }
    }

    /// Lends what is in `bank` to `read`.
    pub fn read<R>(&mut self, bank: Bank, read: impl FnOnce(Store<'_>, Kept) -> R) -> R {
        let (seal, _) = bank.of(&mut self.seals);
        let (store, _) = bank.of(&mut self.stores);
        read(Store::new(store, &mut seal.used()), seal.kept())
    }

    /// Makes a change to what is in `bank`, which is then in the other one. A reset before that is done, or an error,
    /// leaves everything as it was.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn change<E>(
        &mut self,
        bank: &mut Bank,
        change: impl FnOnce(Store<'_>, &mut Kept) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut used, mut kept) = self.copy(*bank);
        let (_, store) = bank.of(&mut self.stores);
        change(Store::new(store, &mut used), &mut kept)?;
        self.seal(bank, used, kept);
        Ok(())
    }

    /// Copies the variables of `bank` to the other one, and tells their size and what is kept beside them.
    fn copy(&mut self, bank: Bank) -> (usize, Kept) {
        let (seal, _) = bank.of(&mut self.seals);
        let (from, to) = bank.of(&mut self.stores);
        for (to, from) in to.iter_mut().zip(from).take(seal.used()) {
            *to = *from;
        }
        (seal.used(), seal.kept())
    }

    /// Seals what is in the other bank than `bank`, which becomes that one.
    fn seal(&mut self, bank: &mut Bank, used: usize, kept: Kept) {
        let (before, seal) = bank.of(&mut self.seals);
        let (_, store) = bank.of(&mut self.stores);
        let now = Seal::over(before.next_number(), kept, store.get(..used).unwrap_or_default());
        // What is sealed has to be there before the seal, by which a reset tells the two apart.
        fence(Ordering::SeqCst);
        *seal = now;
        // And the seal before the next change, which is made in the bank that this one leaves.
        fence(Ordering::SeqCst);
        *bank = bank.other();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use r_efi::efi::{self, Guid};
    use runtime_abi::ImageHeader;

    use super::*;
    use crate::time::Zone;
    use crate::variables::{Error, Phase, Variables};

    const SIZE: usize = 384;
    const NV: u32 = efi::VARIABLE_NON_VOLATILE | efi::VARIABLE_BOOTSERVICE_ACCESS;
    const VENDOR: Guid = Guid::from_fields(1, 2, 3, 4, 5, &[6; 6]);

    type Content = (Vec<(Vec<u8>, u32, Vec<u8>)>, Kept);

    fn name(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn content(banks: &mut Banks<SIZE>, bank: Bank) -> Content {
        banks.read(bank, |store, kept| {
            let variables = Variables::new(store, Phase::Boot);
            let (mut list, mut at) = (Vec::new(), (Vec::new(), VENDOR));
            while let Ok((name, vendor)) = variables.next(&at.0, &at.1) {
                at = (name.to_vec(), vendor);
                let (attributes, data) = variables.get(&at.0, &at.1).unwrap();
                list.push((at.0.clone(), attributes, data.to_vec()));
            }
            (list, kept)
        })
    }

    fn recovered(mut banks: Banks<SIZE>) -> Content {
        let bank = banks.recover();
        content(&mut banks, bank)
    }

    fn set(banks: &mut Banks<SIZE>, bank: &mut Bank, text: &str, attributes: u32, data: &[u8]) -> Result<(), Error> {
        banks.change(bank, |store, kept| {
            kept.monotonic_high = kept.monotonic_high.wrapping_add(1);
            kept.zone.timezone = kept.zone.timezone.wrapping_add(1) % 1000;
            Variables::new(store, Phase::Boot).set(&name(text), &VENDOR, attributes, data)
        })
    }

    /// What the memory can hold when a change stops between two of its stores: what is copied and changed, from either
    /// end or with anything in it, and any part of the seal behind that.
    fn interrupted(before: &Banks<SIZE>, after: &Banks<SIZE>, bank: Bank) -> Vec<Banks<SIZE>> {
        let (mut old, mut new) = (before.clone(), after.clone());
        let (old, new) = (bank.of(&mut old.stores).1, bank.of(&mut new.stores).1);
        let mut states = Vec::new();
        let mut with_store = |change: &dyn Fn(&mut [u8; SIZE])| {
            let mut state = before.clone();
            change(bank.of(&mut state.stores).1);
            states.push(state);
        };
        for at in 0..=SIZE {
            with_store(&|store| store[..at].copy_from_slice(&new[..at]));
            with_store(&|store| store[at..].copy_from_slice(&new[at..]));
            with_store(&|store| {
                *store = *old;
                store[..at].fill(0xa5);
            });
        }
        for fields in 0..0x1f {
            let mut state = after.clone();
            let (mut old, mut new) = (before.clone(), after.clone());
            let (old, new) = (*bank.of(&mut old.seals).1, *bank.of(&mut new.seals).1);
            let is = |field: u32| fields & 1 << field != 0;
            *bank.of(&mut state.seals).1 = Seal {
                check: if is(0) { new.check } else { old.check },
                number: if is(1) { new.number } else { old.number },
                used: if is(2) { new.used } else { old.used },
                kept: Kept {
                    monotonic_high: if is(3) { new.kept.monotonic_high } else { old.kept.monotonic_high },
                    zone: if is(4) { new.kept.zone } else { old.kept.zone },
                },
            };
            // One that has all of the new ones, for the others are the same, is the new one.
            let sealed = bank.of(&mut state.seals).1;
            if (sealed.check, sealed.number, sealed.used, sealed.kept) != (new.check, new.number, new.used, new.kept) {
                states.push(state);
            }
        }
        states
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow there, and about values only")]
    fn a_reset_amid_a_change_loses_that_or_nothing() {
        let seal = Seal::over(0, Kept::FIRST, &[]);
        let mut banks = Banks { seals: [seal; 2], stores: [[0x5a; SIZE]; 2] };
        let mut bank = banks.recover();
        let append = NV | efi::VARIABLE_APPEND_WRITE;
        for (text, attributes, data, wanted) in [
            ("First", NV, &[1; 40][..], Ok(())),
            ("Second", NV, &[2; 30], Ok(())),
            ("Third", NV, &[3; 20], Ok(())),
            ("First", NV, &[4; 60], Ok(())),
            ("Second", NV, &[5; 3], Ok(())),
            ("Third", append, &[6; 50], Ok(())),
            ("Fourth", NV, &[7; 300], Err(Error::OutOfResources)),
            ("First", NV, &[], Ok(())),
            ("Third", NV, &[8; 70], Ok(())),
            ("Second", 0, &[], Ok(())),
            ("Third", NV, &[], Ok(())),
        ] {
            let (mut before, was) = (banks.clone(), bank);
            let old = content(&mut before, was);
            let amid = catch_unwind(AssertUnwindSafe(|| {
                banks.change::<()>(&mut bank, |store, kept| {
                    kept.monotonic_high = 0;
                    let _ = Variables::new(store, Phase::Boot).set(&name(text), &VENDOR, attributes, data);
                    resume_unwind(Box::new(()))
                })
            }));
            assert!(amid.is_err());
            assert_eq!((bank, recovered(banks.clone())), (was, old.clone()));
            assert_eq!(set(&mut banks, &mut bank, text, attributes, data), wanted);
            let new = content(&mut banks, bank);
            assert_eq!(recovered(banks.clone()), new);
            if wanted.is_err() {
                assert_eq!(new, old);
                continue;
            }
            assert_ne!(new, old);
            assert_eq!(bank, was.other());
            assert_eq!(was.of(&mut banks.stores).0, was.of(&mut before.stores).0);
            for state in interrupted(&before, &banks, was) {
                assert_eq!(recovered(state), old, "{text}");
            }
        }
    }

    #[test]
    fn a_change_keeps_every_byte_of_what_it_leaves_alone() {
        let mut banks = Banks { seals: [Seal::over(0, Kept::FIRST, &[]); 2], stores: [[0x5a; SIZE], [0xa5; SIZE]] };
        let mut bank = banks.recover();
        for length in 1..=8 {
            set(&mut banks, &mut bank, "Name", NV, &vec![1; length]).unwrap();
            let was = bank.of(&mut banks.stores).0.to_vec();
            banks.change::<()>(&mut bank, |_, _| Ok(())).unwrap();
            let used = bank.of(&mut banks.seals).0.used();
            assert_eq!(bank.of(&mut banks.stores).0[..used], was[..used]);
        }
    }

    #[test]
    fn only_a_seal_with_all_its_fields_and_bytes_holds() {
        let zone = Zone { timezone: -120, daylight: 1 };
        let kept = Kept { monotonic_high: 7, zone };
        let seal = Seal::over(3, kept, b"variables");
        assert_eq!(seal.opens(b"variables and what is free"), Some(&b"variables"[..]));
        assert_eq!(seal.opens(b"variable"), None);
        assert_eq!(Seal::over(3, kept, b"").opens(b""), Some(&b""[..]));
        assert!(Seal { check: 0, number: 0, used: 0, kept: Kept { monotonic_high: 0, ..kept } }.opens(b"").is_none());
        for bit in 0..72 {
            let mut bytes = *b"variables";
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(seal.opens(&bytes), None, "{bit}");
        }
        for changed in [
            Seal { check: seal.check ^ 1, ..seal },
            Seal { number: 4, ..seal },
            Seal { used: 8, ..seal },
            Seal { used: 1 << 40, ..seal },
            Seal { kept: Kept { monotonic_high: 8, zone }, ..seal },
            Seal { kept: Kept { zone: Zone { timezone: -121, ..zone }, ..kept }, ..seal },
            Seal { kept: Kept { zone: Zone { daylight: 3, ..zone }, ..kept }, ..seal },
        ] {
            assert_eq!(changed.opens(b"variables"), None, "{changed:?}");
        }
        // These have one CRC-32, behind which zeros change nothing.
        let zeros = Seal { used: 6, ..Seal::over(3, kept, &[0xff; 4]) };
        assert_eq!(zeros.opens(&[0xff, 0xff, 0xff, 0xff, 0, 0]), None);
        // Another version's variables may have another form.
        let other = Seal::of_version(ImageHeader::VERSION + 1, 3, kept, b"variables");
        assert_eq!(other.opens(b"variables"), None);
        // Whoever makes a seal makes no zone that SetTime() refuses.
        for zone in [Zone { timezone: 1441, daylight: 0 }, Zone { timezone: 0, daylight: 4 }] {
            assert_eq!(Seal::over(3, Kept { zone, ..kept }, b"variables").opens(b"variables"), None);
        }
    }

    #[test]
    fn the_later_of_two_that_are_whole_is_taken_over() {
        for number in [0, 1, u64::MAX, i64::MAX.cast_unsigned()] {
            let mut banks = Banks { seals: [Seal::over(number, Kept::FIRST, &[]); 2], stores: [[0; SIZE]; 2] };
            banks.seals[1] = Seal { check: 0, ..banks.seals[1] };
            let mut bank = banks.recover();
            assert_eq!(bank, Bank::First);
            for (round, wanted) in [Bank::Second, Bank::First, Bank::Second].into_iter().enumerate() {
                set(&mut banks, &mut bank, "Name", NV, &[round as u8]).unwrap();
                assert_eq!((bank, banks.clone().recover()), (wanted, wanted));
            }
        }
        // Nothing is taken over of two that are not, nor of what is to be forgotten.
        let kept = Kept { monotonic_high: 7, ..Kept::FIRST };
        let mut banks = Banks { seals: [Seal::over(1, kept, b"a"); 2], stores: [[b'b'; SIZE]; 2] };
        let bank = banks.recover();
        assert_eq!(content(&mut banks, bank), (Vec::new(), Kept::FIRST));
        let mut bank = banks.recover();
        set(&mut banks, &mut bank, "Name", NV, b"1").unwrap();
        let bank = banks.clear();
        assert_eq!(content(&mut banks, bank), (Vec::new(), Kept::FIRST));
        assert_eq!(recovered(banks), (Vec::new(), Kept::FIRST));
    }
}

//! Attestation tokens.

use core::sync::atomic::{AtomicU64, Ordering};

use rsi::{GRANULE, Ripas, Rsi, SmcConduit, fid};

use super::{Checks, Hex, SECOND, changing_page, page};
use crate::{console, start};

const SUCCESS: u64 = 0;
const INPUT: u64 = 1;
const STATE: u64 = 2;
const INCOMPLETE: u64 = 3;
/// Calls after which a token is taken to have no end.
const PATIENCE: u32 = 4096;
const CONTINUE: u64 = fid::ATTESTATION_TOKEN_CONTINUE;

/// The context that has a second CPU do [`second`].
pub const CONTEXT: u64 = 0x746f_6b65_6e21;

static OTHER_CONTINUE: AtomicU64 = AtomicU64::new(0);
static OTHER_INIT: AtomicU64 = AtomicU64::new(0);

/// What a second CPU does while a token of the first is under way: continues, starts its own.
pub fn second(rsi: &mut Rsi<SmcConduit>) {
    use rsi::Conduit;
    let mut registers = [CONTINUE, page(), 0, 64, 0, 0, 0, 0, 0, 0, 0];
    rsi.conduit().call(&mut registers);
    OTHER_CONTINUE.store(registers[0], Ordering::SeqCst);
    let init = rsi.attestation_token_init(&[0x22; 64]);
    OTHER_INIT.store(u64::from(init.is_err()), Ordering::SeqCst);
}

/// The challenge of the token that is printed: 0, 1, 2 and so on.
fn counting() -> [u8; 64] {
    let mut challenge = [0; 64];
    for (byte, value) in challenge.iter_mut().zip(0_u8..) {
        *byte = value;
    }
    challenge
}

/// A token as it came out.
struct Fetched {
    len: u64,
    complete: bool,
    /// Calls that wrote nothing.
    idle: u64,
    /// Whether the challenge looked for is in it.
    found: bool,
}

impl Checks {
    pub(super) fn tokens(&mut self) {
        let challenge = counting();
        self.arguments(&challenge);
        let bound = self.rsi.attestation_token_init(&challenge).unwrap_or(0);
        let token = self.fetch(&challenge, |part| console::line(format_args!("TOKEN {}", Hex(part))));
        self.check(
            "the token ends within its bound",
            token.complete && token.len > 0 && token.len <= bound,
            format_args!("complete {}, {} bytes of {bound}", token.complete, token.len),
        );
        self.check("it carries the challenge", token.found, format_args!("{} bytes", token.len));
        console::line(format_args!("INFO token of {} bytes, {} calls without a part", token.len, token.idle));
        let good = [CONTINUE, page(), 0, GRANULE];
        self.result("TOKEN_CONTINUE after the end is refused (state)", &good, STATE);
        self.restarted(&challenge, token.len);
        self.placed();
        self.states_of_the_buffer();
        if self.machine.cpus > 1 {
            self.of_another_rec();
        }
        // The state is left as it was found.
        let _ = self.rsi.attestation_token_init(&challenge);
        let _ = self.fetch(&challenge, |_| {});
    }

    /// Takes the rest of a token out, an odd number of bytes at a time, and looks for `challenge`.
    fn fetch(&mut self, challenge: &[u8; 64], mut part: impl FnMut(&[u8])) -> Fetched {
        let mut token = Fetched { len: 0, complete: false, idle: 0, found: false };
        // How much of the challenge the bytes before matched; its first byte occurs in it once.
        let mut matched = 0;
        for _ in 0..PATIENCE {
            let Ok(next) = self.rsi.attestation_token_continue(page(), 24, 1000) else { break };
            let mut bytes = [0; 1000];
            let len = (next.len as usize).min(bytes.len());
            let bytes = bytes.get_mut(..len).unwrap_or_default();
            start::read(page() + 24, bytes);
            for byte in bytes.iter() {
                matched = match challenge.get(matched) {
                    Some(expected) if expected == byte => matched + 1,
                    _ => usize::from(challenge.first() == Some(byte)),
                };
                token.found |= matched == challenge.len();
            }
            match len {
                0 => token.idle += 1,
                _ => part(bytes),
            }
            token.len += next.len;
            token.complete = next.complete;
            if token.complete {
                break;
            }
        }
        token
    }

    fn arguments(&mut self, challenge: &[u8; 64]) {
        let good = [CONTINUE, page(), 0, GRANULE];
        // Earlier checks may have left a token unfinished.
        for _ in 0..PATIENCE {
            if self.rsi.attestation_token_continue(page(), 0, GRANULE).map_or(true, |part| part.complete) {
                break;
            }
        }
        self.result("TOKEN_CONTINUE before INIT is refused (state)", &good, STATE);
        let bound = self.rsi.attestation_token_init(challenge).unwrap_or(0);
        self.check("TOKEN_INIT tells a bound", bound > 0, format_args!("{bound}"));
        let (shared, outside) = (self.shared(page()), self.shared_bit() << 1);
        for (rule, arguments) in [
            ("TOKEN_CONTINUE addr_align", [CONTINUE, page() + 8, 0, 8]),
            ("TOKEN_CONTINUE addr_bound", [CONTINUE, shared, 0, 8]),
            ("TOKEN_CONTINUE addr_bound (outside)", [CONTINUE, outside, 0, 8]),
            ("TOKEN_CONTINUE offset_bound", [CONTINUE, page(), GRANULE, 0]),
            ("TOKEN_CONTINUE offset_bound (highest)", [CONTINUE, page(), u64::MAX, 1]),
            ("TOKEN_CONTINUE size_overflow", [CONTINUE, page(), 8, u64::MAX]),
            ("TOKEN_CONTINUE size_bound", [CONTINUE, page(), 8, GRANULE - 7]),
            ("TOKEN_CONTINUE size_bound (whole)", [CONTINUE, page(), 0, GRANULE + 1]),
        ] {
            self.result(rule, &arguments, INPUT);
        }
    }

    /// INIT gives up a token that is under way.
    fn restarted(&mut self, challenge: &[u8; 64], len: u64) {
        let _ = self.rsi.attestation_token_init(&[0x11; 64]);
        let mut written = 0;
        for _ in 0..PATIENCE {
            written = self.rsi.attestation_token_continue(page(), 0, 8).map_or(0, |part| part.len);
            if written != 0 {
                break;
            }
        }
        let _ = self.rsi.attestation_token_init(challenge);
        let token = self.fetch(challenge, |_| {});
        self.check(
            "TOKEN_INIT restarts an unfinished token",
            written == 8 && token.complete && token.found && token.len == len,
            format_args!("{written} bytes of the first, {} of {len} of the second", token.len),
        );
    }

    /// Bytes go where they are asked to go, and nowhere else.
    fn placed(&mut self) {
        let _ = self.rsi.attestation_token_init(&[0x11; 64]);
        for at in (page()..page() + GRANULE).step_by(8) {
            start::write(at, &[0xff; 8]);
        }
        let (mut len, mut none) = (0, Err(rsi::Error::Unknown));
        for _ in 0..PATIENCE {
            len = self.rsi.attestation_token_continue(page(), GRANULE - 1, 1).map_or(0, |part| part.len);
            if len != 0 {
                none = self.rsi.attestation_token_continue(page(), 16, 0);
                break;
            }
        }
        let mut bytes = [0; GRANULE as usize];
        start::read(page(), &mut bytes);
        let (before, last) = bytes.split_at(GRANULE as usize - 1);
        // A token begins with a tag, which is not 0xff.
        let alone = len == 1 && before.iter().all(|byte| *byte == 0xff) && last != [0xff];
        self.check("TOKEN_CONTINUE writes its buffer alone", alone, format_args!("{len} bytes, last {last:x?}"));
        let empty = none.is_ok_and(|part| part.len == 0 && !part.complete);
        self.check("TOKEN_CONTINUE into no bytes is INCOMPLETE", empty, format_args!("{none:x?}"));
    }

    /// A buffer that is EMPTY is refused, and costs nothing of the token.
    fn states_of_the_buffer(&mut self) {
        let challenge = counting();
        let empty = changing_page();
        self.set(empty, empty + self.unit, Ripas::Empty);
        let _ = self.rsi.attestation_token_init(&challenge);
        let mut calls = 0;
        let mut result = INCOMPLETE;
        while result == INCOMPLETE && calls < PATIENCE {
            [result, ..] = self.raw(&[CONTINUE, empty, 0, 64]);
            calls += 1;
        }
        self.check("TOKEN_CONTINUE refuses an EMPTY page", result == INPUT, format_args!("result {result:#x}"));
        console::line(format_args!("INFO an EMPTY page is refused at call {calls}"));
        let [again, ..] = self.raw(&[CONTINUE, empty, 0, 64]);
        let token = self.fetch(&challenge, |_| {});
        self.check(
            "and again, and the token is whole after that",
            again == INPUT && token.complete && token.found,
            format_args!("result {again:#x}, {} bytes, complete {}", token.len, token.complete),
        );
        self.set(empty, empty + self.unit, Ripas::Ram);
    }

    /// A token belongs to the REC that began it (A2.3.2, attest_state).
    fn of_another_rec(&mut self) {
        let challenge = counting();
        let _ = self.rsi.attestation_token_init(&challenge);
        let begun = self.rsi.attestation_token_continue(page(), 0, 0).is_ok();
        if self.start_second(CONTEXT) != SUCCESS {
            console::line(format_args!("INFO the host starts no second CPU"));
            return;
        }
        let other = OTHER_CONTINUE.load(Ordering::SeqCst);
        self.check(
            "TOKEN_CONTINUE on another REC is refused (state)",
            other == STATE,
            format_args!("result {other:#x}"),
        );
        let init = OTHER_INIT.load(Ordering::SeqCst);
        self.check("TOKEN_INIT on another REC succeeds", init == 0, format_args!("{init}"));
        let token = self.fetch(&challenge, |_| {});
        self.check(
            "and the token of this REC is its own",
            begun && token.complete && token.found,
            format_args!("{} bytes, complete {}", token.len, token.complete),
        );
        let seen = SECOND.load(Ordering::SeqCst);
        self.check("the second CPU is through", seen == CONTEXT, format_args!("{seen:#x}"));
    }
}

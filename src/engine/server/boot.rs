//! 101: a device started. 106: keys were pressed.

use log::{debug, info};

use super::{Context, Effects, Server};
use crate::engine::book::FrameId;
use crate::engine::model::text::{Unnumbered, text_of_gbk};
use crate::engine::model::{ClockState, DeviceTime, Kind, Money, Text};
use crate::engine::wire::Code;

impl Server<'_> {
    /// 101: the device has forgotten earlier commands, and its clock may be off.
    pub(super) fn on_boot(&mut self, context: &Context, time: &DeviceTime, fx: &mut Effects) {
        self.end_all(&context.now, context.device, fx);
        self.tables.devices.get_mut(context.device).forget_confirms();
        let mut entry = context.draft(Kind::Boot);
        context.date(&mut entry, time);
        self.append_limited(context, &mut entry, fx);
        if self.may_log(&context.now, *context.peer.source.ip()) {
            info!(
                "boot machine={} source={} time=\"{}\"",
                context.frame.machine,
                context.peer.source,
                Unnumbered(&time.raw)
            );
        }
        match context.clock {
            ClockState::Ok => self.answer_boot_clock(context, fx),
            ClockState::Unset => {
                self.tables.devices.get_mut(context.device).clock.owe();
                self.poll_clock(&context.now);
            }
        }
    }

    /// 106: the meaning of the keys is unknown, so they are only entered.
    pub(super) fn on_keys(&mut self, context: &Context, keys: &[u8], fx: &mut Effects) {
        let mut entry = context.draft(Kind::Keys);
        let shown: Text<32> = text_of_gbk(keys);
        entry.detail.push("keys", shown.as_str());
        let id = FrameId::new(Code::Keys.number(), &entry, Money::ZERO);
        if self.first_answer(context, &id).is_some() {
            self.counters.duplicates += 1;
            return;
        }
        debug!("keys machine={} keys=\"{}\"", context.frame.machine, Unnumbered(&shown));
        self.append_limited(context, &mut entry, fx);
    }
}

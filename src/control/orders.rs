//! stub
use std::io;
use super::json::Object;
use crate::ledger::Storage;
use crate::model::{MachineNo, Now, Order};
use crate::net::Service;
pub(super) fn obey<S: Storage>(_: &mut Service<'_, S>, _: &Now, _: &'static str, _: &Order, _: bool) -> io::Result<String> { Ok(Object::ok().end()) }
pub(super) fn pay_out_all<S: Storage>(_: &mut Service<'_, S>, _: &Now, _: Order, _: bool) -> io::Result<String> { Ok(Object::ok().end()) }
pub(super) fn clock<S: Storage>(_: &mut Service<'_, S>, _: &Now, _: Option<MachineNo>) -> io::Result<String> { Ok(Object::ok().end()) }
pub(super) fn show<S: Storage>(_: &mut Service<'_, S>, _: &Now, _: MachineNo, _: &str) -> io::Result<String> { Ok(Object::ok().end()) }
pub(super) fn clock_accept<S: Storage>(_: &mut Service<'_, S>, _: &Now) -> io::Result<String> { Ok(Object::ok().end()) }
pub(super) fn sync<S: Storage>(_: &mut Service<'_, S>, _: &Now) -> io::Result<String> { Ok(Object::ok().end()) }

//! `posgate addresses`: what to enter at a terminal as the server's address, and what time it would
//! be told.

use posgate::files::config;
use posgate::files::zone::Zone;
use posgate::host::clock;
use posgate::host::udp;

use super::Options;

/// Lists the machine's IPv4 addresses, numbered, with their interfaces: the seed's start-up list.
/// Then the local time.
pub(super) fn run() -> u8 {
    match udp::addresses() {
        Ok(addresses) => {
            for (number, address) in addresses.iter().enumerate() {
                say!("{}   {}/{}   {}", number + 1, address.address, address.prefix, address.interface);
            }
            say_time();
            0
        }
        Err(error) => {
            complain!("posgate: cannot list this machine's addresses: {error}");
            super::EXIT_IO
        }
    }
}

/// In the configuration's zone, if there is a configuration.
fn say_time() {
    let settings = config::inspect(&Options::default().config()).ok();
    let configured = settings.and_then(|(settings, _)| settings.timezone);
    if let Ok(found) = Zone::find(configured.as_deref()) {
        say!("local time {}   {}", found.zone.stamp(clock::wall()), found.source);
    }
}

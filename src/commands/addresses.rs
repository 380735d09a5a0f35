//! `posgate addresses`: what to enter at a terminal as the server's address.

use posgate::net::udp;

/// Lists the machine's IPv4 addresses, numbered, with their interfaces: the seed's start-up list.
pub(super) fn run() -> u8 {
    match udp::addresses() {
        Ok(addresses) => {
            for (number, address) in addresses.iter().enumerate() {
                say!("{}   {}/{}   {}", number + 1, address.address, address.prefix, address.interface);
            }
            0
        }
        Err(error) => {
            complain!("posgate: cannot list this machine's addresses: {error}");
            super::EXIT_IO
        }
    }
}

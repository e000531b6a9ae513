//! Guests of one sector each: what QEMU does with them takes no second, and needs no kernel.
//!
//! SeaBIOS loads the sector to 0x7c00 and jumps there in real mode, with the boot drive's number in `dl`. The ports are
//! those of QEMU's q35: the power management at 0x600, the reset control at 0xcf9, pvpanic at 0x505.

/// Halts for good.
pub(crate) const HALTS: &[u8] = &[
    0xfa, // cli
    0xf4, // hlt
    0xeb, 0xfd, // jmp to the hlt
];

/// Turns the machine off: sleep type 0 and "sleep enable" into the control register of power management.
pub(crate) const TURNS_OFF: &[u8] = &[
    0xba, 0x04, 0x06, // mov $0x604, %dx
    0xb8, 0x00, 0x20, // mov $0x2000, %ax
    0xef, // out %ax, (%dx)
    0xf4, // hlt
];

/// Restarts.
pub(crate) const RESTARTS: &[u8] = &[
    0xba, 0xf9, 0x0c, // mov $0xcf9, %dx
    0xb0, 0x06, // mov $6, %al
    0xee, // out %al, (%dx)
    0xf4, // hlt
];

/// Tells pvpanic that its kernel panicked, and halts.
pub(crate) const PANICS: &[u8] = &[
    0xba, 0x05, 0x05, // mov $0x505, %dx
    0xb0, 0x01, // mov $1, %al
    0xee, // out %al, (%dx)
    0xf4, // hlt
    0xeb, 0xfd, // jmp to the hlt
];

/// Enables the power button, waits for it, and turns the machine off.
pub(crate) const HEEDS_THE_BUTTON: &[u8] = &[
    0xfa, // cli
    0xba, 0x02, 0x06, // mov $0x602, %dx
    0xb8, 0x00, 0x01, // mov $0x100, %ax
    0xef, // out %ax, (%dx)
    0xba, 0x00, 0x06, // mov $0x600, %dx
    0xed, // again: in (%dx), %ax
    0xf6, 0xc4, 0x01, // test $1, %ah
    0x74, 0xfa, // je again
    0xba, 0x04, 0x06, // mov $0x604, %dx
    0xb8, 0x00, 0x20, // mov $0x2000, %ax
    0xef, // out %ax, (%dx)
    0xf4, // hlt
];

/// Writes the firmware's bytes, 32 KiB at a time, to its disk from the second sector on, through SeaBIOS.
pub(crate) const FILLS_ITS_DISK: &[u8] = &[
    0x31, 0xc0, // xor %ax, %ax
    0x8e, 0xd8, // mov %ax, %ds
    0xbe, 0x1c, 0x7c, // mov $packet, %si
    0xb8, 0x00, 0x43, // again: mov $0x4300, %ax
    0xcd, 0x13, // int $0x13
    0x66, 0x83, 0x06, 0x24, 0x7c, 0x40, // addl $64, (packet's first sector)
    0xeb, 0xf3, // jmp again
    0, 0, 0, 0, 0, 0, 0, 0, // the packet stands at 0x1c
    0x10, 0x00, 0x40, 0x00, // its size; 64 sectors
    0x00, 0x00, 0x00, 0xf0, // from f000:0000
    0x01, 0, 0, 0, 0, 0, 0, 0, // to sector 1
];

/// Returns the first sector of a disk that boots that guest.
pub(crate) fn boot_sector(guest: &[u8]) -> [u8; 512] {
    let mut sector = [0; 512];
    sector[..guest.len()].copy_from_slice(guest);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Returns a kernel by Linux' boot protocol 2.2 that is that guest in real mode, with nothing behind it.
pub(crate) fn kernel(guest: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 2048];
    image[0x1f1] = 1; // sectors of real-mode code after the first
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x200..0x202].copy_from_slice(&[0xeb, 0x66]); // jmp to 0x268
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&[0x02, 0x02]); // protocol 2.2
    image[0x211] = 1; // the rest goes above 1 MiB
    image[0x268..][..guest.len()].copy_from_slice(guest);
    image
}

/// Returns a CD that boots that guest: El Torito, without the file system beside it.
pub(crate) fn boot_cd(guest: &[u8]) -> Vec<u8> {
    let mut cd = vec![0; 20 * 2048];
    let mut put = |sector: usize, at: usize, bytes: &[u8]| {
        cd[sector * 2048 + at..][..bytes.len()].copy_from_slice(bytes);
    };
    put(16, 0, b"\x01CD001\x01"); // the primary volume
    put(17, 0, b"\x00CD001\x01EL TORITO SPECIFICATION");
    put(17, 0x47, &[19]); // where the catalogue is
    put(18, 0, b"\xffCD001\x01"); // the last volume
    put(19, 0, &[1]); // for x86
    put(19, 0x1c, &[0xaa, 0x55, 0x55, 0xaa]); // a checksum, the mark
    put(19, 0x20, &[0x88, 0, 0, 0, 0, 0, 1, 0, 20]); // bootable, no emulation, one sector, which is the next one
    cd.extend(boot_sector(guest));
    cd.resize(21 * 2048, 0);
    cd
}

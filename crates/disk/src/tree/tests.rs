//! FAT made by mkfs, initrds made by cpio and packed by each program, and damage.

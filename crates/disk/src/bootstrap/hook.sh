# Runs on the finished tree ($1) in mmdebstrap's namespace; file 8 is this script, file 9 the new disk.
set -eu
root=$1
PATH=/usr/sbin:/usr/bin:/sbin:/bin
say() { echo "I: $*"; }

mkroot() {
    # The features by name: newer defaults (orphan_file, metadata_csum_seed) are not for every GRUB.
    features=has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file
    features=$features,huge_file,dir_nlink,extra_isize,metadata_csum
    # Nothing is left for the guest to zero later: that would count as changes of the disk.
    mke2fs -q -F -t ext4 -b 4096 -I 256 -m 1 -O "none,$features" -U "$root_uuid" -L root \
        -E "offset=$root_offset,hash_seed=$hash_seed,lazy_itable_init=0,lazy_journal_init=0,nodiscard" \
        -d "$root" /proc/self/fd/9 "${root_kib}k"
}
if [ "${2-}" = mkroot ]; then
    cut -d' ' -f5 /proc/self/mountinfo | while read -r mount; do
        mount=$(printf %b "$mount")
        # What lies on another mount goes with it, and is not there any more when its turn comes.
        case $mount in "$root"/*) umount --lazy "$mount" 2>/dev/null || ! mountpoint -q "$mount" ;; esac
    done
    mkroot
    exit
fi

say "writing the settings..."
echo "$host_name" >"$root/etc/hostname"
cat >"$root/etc/hosts" <<END
127.0.0.1 localhost
127.0.1.1 $host_name
::1 localhost ip6-localhost ip6-loopback
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
END
mkdir -p "$root/boot/efi"
cat >"$root/etc/fstab" <<END
UUID=$root_uuid / ext4 errors=remount-ro 0 1
UUID=$esp_uuid /boot/efi vfat umask=0077,nofail 0 0
END
cat >"$root/etc/systemd/network/80-dhcp.network" <<END
[Match]
Name=en* eth*

[Network]
DHCP=yes
END
# A file and no link into /run: it also serves where nothing runs.
rm -f "$root/etc/resolv.conf"
cat >"$root/etc/resolv.conf" <<END
# systemd-resolved answers here; resolvectl shows whom it asks.
nameserver 127.0.0.53
options edns0 trust-ad
END
chroot "$root" systemctl --quiet enable systemd-networkd.service systemd-resolved.service
echo "LANG=C.UTF-8" >"$root/etc/default/locale"
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"

say "making the initramfs..."
# The root's type, which it would find out by looking at devices: there are none here, nor all of them in a build.
echo "FSTYPE=ext4" >"$root/etc/initramfs-tools/conf.d/root-type"
rm -f "$root"/boot/initrd.img-*
chroot "$root" env -u INITRD update-initramfs -c -k all
cd "$root/boot"
version=$(ls vmlinuz-* | sort -V | tail -n 1)
version=${version#vmlinuz-}
for link in vmlinuz initrd.img; do
    ln -sf "boot/$link-$version" "$root/$link"
    rm -f "$root/$link.old"
done
cd /

say "making the boot loader..."
# update-grub may rewrite grub.cfg at any time: everything that its result loads is in the images already, and what it
# would find out by looking at devices is told here.
mkdir -p "$root/boot/grub/$efi" "$root/etc/default/grub.d"
{
    cat <<END
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="console=tty0 console=$console"
END
    if [ -n "$grub_serial" ]; then
        echo 'GRUB_TERMINAL="console serial"'
        echo 'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"'
    fi
    echo 'GRUB_DISABLE_OS_PROBER=true'
} >"$root/etc/default/grub"
cat >"$root/etc/default/grub.d/root.cfg" <<END
# The root by its UUID, also where no /dev/disk/by-uuid can be looked at.
GRUB_DISABLE_LINUX_UUID=true
GRUB_DEVICE="UUID=$root_uuid"
END
{
    echo 'set timeout=0'
    if [ -n "$grub_serial" ]; then
        cat <<END
if serial --unit=0 --speed=115200; then
    terminal_input console serial
    terminal_output console serial
fi
END
    fi
    cat <<END
search --no-floppy --fs-uuid --set=root $root_uuid
menuentry 'Debian GNU/Linux' {
    linux /vmlinuz root=UUID=$root_uuid ro console=tty0 console=$console
    initrd /initrd.img
}
END
} >"$root/boot/grub/grub.cfg"
cat >"$root/boot/grub/load.cfg" <<END
search.fs_uuid $root_uuid root
set prefix=(\$root)/boot/grub
END
common="part_gpt part_msdos ext2 fat normal linux search search_fs_uuid search_fs_file search_label configfile echo
    test true sleep reboot halt serial terminal terminfo minicmd gzio loadenv all_video font regexp probe keystatus help
    boot ls cat"
mkimage() {
    format=$1 output=$2 modules=
    for module in $common $3; do
        if [ -e "$root/usr/lib/grub/$format/$module.mod" ]; then modules="$modules $module"; fi
    done
    # shellcheck disable=SC2086
    chroot "$root" grub-mkimage -O "$format" -c /boot/grub/load.cfg -p /boot/grub \
        -o "/boot/grub/$format/$output" $modules
}
if [ -n "$bios" ]; then
    mkdir -p "$root/boot/grub/$bios"
    mkimage "$bios" core.img "biosdisk"
    cp "$root/usr/lib/grub/$bios/boot.img" "$root/boot/grub/$bios/boot.img"
fi
mkimage "$efi" core.efi "efi_gop efi_uga efifwsetup"

say "tidying up..."
# What mmdebstrap put there for its own time; it looks before it takes anything back.
rm -f "$root/usr/sbin/policy-rc.d" "$root/etc/apt/apt.conf.d/00mmdebstrap"
if [ -e "$root/sbin/start-stop-daemon.REAL" ]; then
    mv "$root/sbin/start-stop-daemon.REAL" "$root/sbin/start-stop-daemon"
fi
find "$root/var/lib/apt/lists" -type f -delete
rm -rf "$root/var/lib/apt/lists/auxfiles"
rm -f "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root/var/cache/ldconfig/aux-cache"
find "$root/var/log" -type f -delete
find "$root/tmp" "$root/var/tmp" "$root/run" -xdev -mindepth 1 ! -path "$root/run/lock" -delete

say "making the root file system..."
if unshare --mount true 2>/dev/null; then
    # In a copy of the mounts, where /proc, /sys and the devices can be taken off the tree.
    exec unshare --mount sh /proc/self/fd/8 "$root" mkroot
fi
mkroot

# Takes out of an image what belongs to the machine that it was built in. Arguments: the items to do; a function an item.
#
# POSIX sh with `local`, as dash, busybox and bash have it. A process takes long in an emulated guest: the shell does by
# itself what it can, and of programs it needs only rm. Prints `item: what was done`, and `warning: …` for what could not
# be. Running it twice changes nothing more.
#
# A file is emptied by `true >file`: a `: >file` that fails ends the shell.

items=" $* "
mac=52:54:00:12:34:56
set +e +u
umask 022

said() { echo "$1"; }
warn() { echo "warning: $1"; }
asked() { case "$items" in *" $1 "*) return 0 ;; esac; return 1; }
have() { command -v "$1" >/dev/null 2>&1; }
# A system that runs, and not a folder of its files.
live() { [ -d /run/systemd/system ] && have systemctl; }

# Removes what is there of its arguments, with one process where that works, and adds to $count.
removed() {
    local path
    for path; do
        shift
        if [ -e "$path" ] || [ -L "$path" ]; then set -- "$@" "$path"; fi
    done
    if [ $# = 0 ]; then return; fi
    if rm -rf -- "$@" 2>/dev/null; then
        count=$((count + $#))
        return
    fi
    for path; do
        if rm -rf -- "$path"; then count=$((count + 1)); else warn "$path cannot be removed"; fi
    done
}

# Everything in a folder, hidden or not, but what has one of the names that follow. The folder itself stays.
emptied() {
    local folder=$1 path
    shift
    local keep=" $* "
    set --
    if [ ! -d "$folder" ] || [ -L "$folder" ]; then return; fi
    for path in "$folder"/* "$folder"/.[!.]* "$folder"/..?*; do
        case "$keep" in *" ${path##*/} "*) continue ;; esac
        set -- "$@" "$path"
        # A shell copies its arguments each time: with thousands of them that takes minutes.
        if [ $# = 50 ]; then
            removed "$@"
            set --
        fi
    done
    removed "$@"
}

# Runs $2 with every regular file below a folder, hidden or not, and no link.
each_file() {
    local path
    for path in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -L "$path" ]; then
            :
        elif [ -d "$path" ]; then
            each_file "$path" "$2"
        elif [ -f "$path" ]; then
            "$2" "$path"
        fi
    done
}

# Says what an item did, where it did anything.
report() { if [ "$count" -gt 0 ]; then said "$1: $2"; fi; }

machine_id() {
    # Emptied and not removed: systemd makes a new one in its place. The word is its own for "not yet".
    if [ -f /etc/machine-id ] && [ ! -L /etc/machine-id ] && [ -s /etc/machine-id ]; then
        read -r id </etc/machine-id
        if [ "$id" != uninitialized ]; then
            if true >/etc/machine-id; then count=1; else warn "/etc/machine-id cannot be emptied"; fi
        fi
    fi
    if [ -f /var/lib/dbus/machine-id ] && [ ! -L /var/lib/dbus/machine-id ]; then
        removed /var/lib/dbus/machine-id
        if [ -e /etc/machine-id ]; then ln -s /etc/machine-id /var/lib/dbus/machine-id; fi
    fi
    report machine-id emptied
}

unit_name=regenerate-ssh-host-keys.service
unit=/etc/systemd/system/$unit_name
unit_link=/etc/systemd/system/multi-user.target.wants/$unit_name

# Whether a file makes host keys.
makes_keys() {
    local line
    [ -f "$1" ] || return 1
    while read -r line || [ -n "$line" ]; do
        case "$line" in
            \#*) ;;
            *ssh-keygen*\ -A* | *sshd-keygen* | *sshd-gen-keys* | *sshdgenkeys* | *reconfigure*openssh-server*) return 0 ;;
        esac
    done <"$1"
    return 1
}

# Whether systemd starts a unit: a link says so, or it belongs to a unit of sshd itself.
wanted() {
    local link
    case "$1" in ssh.* | ssh@* | sshd.* | sshd@* | sshd-keygen* | sshdgenkeys*) return 0 ;; esac
    for link in /etc/systemd/system/*.wants/"$1" /etc/systemd/system/*.requires/"$1" \
        /usr/lib/systemd/system/*.wants/"$1" /lib/systemd/system/*.wants/"$1"; do
        if [ -e "$link" ] || [ -L "$link" ]; then return 0; fi
    done
    return 1
}

# Whether anything in the image makes host keys when it boots.
keys_come_back() {
    local file name
    # cloud-init makes them with its other work, which it does again only where its state was cleared.
    if have cloud-init && [ ! -e /etc/cloud/cloud-init.disabled ]; then
        if asked cloud-init || [ ! -e /var/lib/cloud/instance ]; then return 0; fi
    fi
    for file in /etc/systemd/system/*.service /etc/systemd/system/ssh*.service.d/*.conf \
        /usr/lib/systemd/system/*ssh*.service /usr/lib/systemd/system/ssh*.service.d/*.conf \
        /lib/systemd/system/*ssh*.service; do
        name=${file##*/}
        case "$file" in */ssh*.service.d/*) name=ssh.service ;; esac
        if [ "$name" != "$unit_name" ] && makes_keys "$file" && wanted "$name"; then return 0; fi
    done
    for file in /etc/init.d/ssh /etc/init.d/sshd /etc/rc.local /etc/rc.d/rc.sshd /etc/init.d/S50sshd; do
        if [ -x "$file" ] && makes_keys "$file"; then return 0; fi
    done
    return 1
}

has_systemd() { [ -e /usr/lib/systemd/systemd ] || [ -e /lib/systemd/systemd ]; }

first_boot_unit() {
    if [ -e "$unit" ] && [ -L "$unit_link" ]; then return; fi
    mkdir -p "${unit_link%/*}" && cat >"$unit" <<END && ln -sf "$unit" "$unit_link"
[Unit]
Description=Make the SSH host keys of this machine, once
DefaultDependencies=no
RequiresMountsFor=/etc/ssh
After=local-fs.target
Before=ssh.service sshd.service ssh.socket sshd.socket shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart=$1 -A
ExecStart=/bin/rm -f $unit_link $unit

[Install]
WantedBy=multi-user.target
END
}

ssh_host_keys() {
    local keygen how=removed
    if ! [ -x /usr/sbin/sshd ] || keys_come_back; then
        rm -f "$unit" "$unit_link"
    else
        keygen=$(command -v ssh-keygen) && has_systemd && first_boot_unit "$keygen" || {
            set -- /etc/ssh/ssh_host_*_key
            if [ -e "$1" ]; then
                warn "ssh-host-keys: kept, since nothing in the image makes new ones at its first boot and sshd does \
not start without: every machine made from it has the same; make them anew there (ssh-keygen -A)"
            fi
            return
        }
        how="removed; $unit_name makes new ones at the first boot"
    fi
    removed /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub /etc/ssh/ssh_host_*_key-cert.pub
    report ssh-host-keys "$count $how"
}

cloud_init() {
    # The seed is what whoever made the image put there for its first boot.
    emptied /var/lib/cloud seed
    removed /var/log/cloud-init.log /var/log/cloud-init-output.log /run/cloud-init/instance-data*.json
    report cloud-init "its state of this machine removed"
}

dhcp_leases() {
    removed /var/lib/dhcp/*.lease* /var/lib/dhclient/*.lease* /var/lib/dhcpcd/*.lease* /var/lib/dhcpcd/duid \
        /var/lib/dhcpcd/secret /var/lib/dhcpcd5/* /etc/dhcpcd.duid /etc/dhcpcd.secret \
        /var/lib/dhcpv6/*duid* /var/lib/NetworkManager/*.lease /var/lib/NetworkManager/secret_key /var/lib/NetworkManager/timestamps /var/lib/NetworkManager/seen-bssids \
        /var/lib/systemd/network/*lease* /var/lib/systemd/network/*duid* /var/lib/wicked/lease-* /var/lib/wicked/duid.xml
    report dhcp-leases "$count removed"
}

random_seed() {
    # A service that stops now does not write its seed when the machine does.
    if live; then systemctl stop systemd-random-seed.service >/dev/null 2>&1; fi
    removed /var/lib/systemd/random-seed /var/lib/urandom/random-seed /var/lib/misc/random-seed /var/lib/random-seed \
        /etc/random-seed /var/lib/seedrng/seed.* /boot/loader/random-seed /boot/efi/loader/random-seed \
        /efi/loader/random-seed
    report random-seed removed
}

shell_history() {
    local homes=/root user rest home file
    # Those of people lie in /home; a home with a space in it is nobody's.
    while IFS=: read -r user rest rest rest rest home rest || [ -n "$user" ]; do
        case "$home" in
            /root | /home/* | *[[:space:]*?]* | [!/]* | "") ;;
            *) homes="$homes $home" ;;
        esac
    done </etc/passwd
    set --
    for home in $homes /home/*; do
        for file in bash ash sh zsh ksh mksh python; do set -- "$@" "$home/.${file}_history"; done
        set -- "$@" "$home/.history" "$home/.local/share/fish/fish_history"
    done
    removed "$@"
    report shell-history "$count removed"
}

package_caches() {
    local folder
    for folder in /var/lib/apt/lists /var/cache/apt/archives; do
        emptied "$folder" lock partial
        emptied "$folder/partial"
    done
    removed /var/cache/apt/*.bin
    for folder in /var/cache/dnf /var/cache/libdnf5 /var/cache/yum /var/cache/apk /var/cache/pacman/pkg \
        /var/cache/zypp/packages /var/cache/zypp/raw /var/cache/zypp/solv; do
        emptied "$folder"
    done
    report apt "$count lists and cached files removed"
}

temporary_files() {
    local folder device place rest mounted
    for folder in /tmp /var/tmp; do
        # What is mounted there belongs to another file system.
        mounted=
        if [ -r /proc/self/mounts ]; then
            while read -r device place rest; do
                case "$place" in
                    "$folder"/*)
                        warn "temporary-files: $place is mounted and stays"
                        place=${place#"$folder"/}
                        mounted="$mounted ${place%%/*}"
                        ;;
                esac
            done </proc/self/mounts
        fi
        emptied "$folder" $mounted
    done
    report temporary-files "$count removed"
}

# Leaves the lines that do not name this machine's card. True where there was one that did.
without_mac() {
    local line kept= found=1 nl='
'
    while IFS= read -r line || [ -n "$line" ]; do
        case "$line" in
            *[aA]ddress*$mac* | *ADDR*$mac* | *mac-address*$mac*) found=0 ;;
            *) kept=$kept$line$nl ;;
        esac
    done <"$1"
    if [ "$found" = 0 ] && ! printf %s "$kept" >"$1"; then warn "$1 cannot be written"; fi
    return "$found"
}

# Whether a file names this machine's card, and whether cloud-init wrote it.
names_mac() {
    local line
    by_cloud_init=1 named=1
    [ -f "$1" ] && [ ! -L "$1" ] || return 1
    # For systemd-networkd it says so in the name alone.
    case "${1##*/}" in [0-9]*-cloud-init*) by_cloud_init=0 ;; esac
    while IFS= read -r line || [ -n "$line" ]; do
        case "$line" in *$mac*) named=0 ;; esac
        case "$line" in \#*cloud-init* | *org.freedesktop.NetworkManager.origin=cloud-init*) by_cloud_init=0 ;; esac
    done <"$1"
    return "$named"
}

net_rules() {
    local path
    for path in /etc/udev/rules.d/*-persistent-net.rules /etc/sysconfig/network-scripts/ifcfg-* \
        /etc/sysconfig/network/ifcfg-* /etc/NetworkManager/system-connections/* /etc/netplan/*.yaml \
        /etc/systemd/network/*.link /etc/systemd/network/*.network /etc/network/interfaces.d/*; do
        names_mac "$path" || continue
        if [ "$by_cloud_init" = 0 ]; then
            # It writes the file anew for the machine that it runs on next.
            removed "$path"
            continue
        fi
        case "$path" in
            */rules.d/* | */ifcfg-* | */system-connections/*) if without_mac "$path"; then count=$((count + 1)); fi ;;
            *) warn "net-rules: $path names this machine's network card ($mac), which no other has" ;;
        esac
    done
    report net-rules "$count settings of this machine's network card removed"
}

log_file() {
    case "${1##*/}" in
        # Rotated: programs do not expect these.
        *.gz | *.xz | *.bz2 | *.zst | *.[0-9] | *.[0-9][0-9] | *.[0-9].log | *.old | *.journal | *.journal~ | \
            *-20[0-9][0-9][0-1][0-9][0-3][0-9]) removed "$1" ;;
        # Emptied where it is, so that owner and mode stay and a program that has it open goes on.
        *) if [ -s "$1" ]; then if true >"$1"; then count=$((count + 1)); else warn "$1 cannot be emptied"; fi; fi ;;
    esac
}

logs() {
    local folder name
    if live; then journalctl --rotate >/dev/null 2>&1; fi
    for folder in /var/log/journal/*; do
        name=${folder##*/}
        # A folder a machine id; the one above says that journals are kept at all.
        case "${name%%.*}" in *[!0-9a-f]*) ;; *) if [ "${#name}" -ge 32 ]; then removed "$folder"; fi ;; esac
    done
    removed /var/log/installer /var/lib/wtmpdb/wtmp.db /var/lib/lastlog/lastlog2.db
    if [ -d /var/log ]; then each_file /var/log log_file; fi
    report logs "$count emptied or removed"
}

for item; do
    count=0
    case "$item" in
        machine-id) machine_id ;;
        ssh-host-keys) ssh_host_keys ;;
        cloud-init) cloud_init ;;
        dhcp-leases) dhcp_leases ;;
        random-seed) random_seed ;;
        shell-history) shell_history ;;
        apt) package_caches ;;
        temporary-files) temporary_files ;;
        net-rules) net_rules ;;
        logs) logs ;;
        *) warn "no item is called $item" ;;
    esac
done
exit 0

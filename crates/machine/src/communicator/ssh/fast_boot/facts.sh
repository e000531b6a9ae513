# Says what an image has that a fast boot needs, one word a line.
for init in /usr/lib/systemd/systemd /lib/systemd/systemd; do
    if [ -x "$init" ]; then echo systemd; break; fi
done
if [ -x /usr/sbin/sshd ]; then echo sshd; fi
# A server that asks no PAM takes a root whose password is locked for one who may not log in.
while IFS=: read -r name password _; do
    case $name:$password in root:!*) echo locked ;; esac
done </etc/shadow
while IFS= read -r line; do
    case $line in SELINUX=enforcing*) echo selinux ;; esac
done 2>/dev/null </etc/selinux/config
if [ -d /etc/cloud ] && [ ! -e /etc/cloud/cloud-init.disabled ]; then echo cloud-init; fi
if [ ! -e /etc/resolv.conf ] && [ ! -L /etc/resolv.conf ]; then echo no-resolv.conf; fi
true

# What every program of a step finds, whoever runs it. `user`, `group`, `folder`, the function `environment` and the
# arguments are set before.

# Accounts are read from the files that the agent reads, too: a user by name or number.
look_up() {
    while IFS=: read -r name _ uid gid _ home shell; do
        if [ "$name" = "$1" ] || [ "$uid" = "$1" ]; then return; fi
    done </etc/passwd
    return 1
}
look_up_group() {
    while IFS=: read -r group_name _ gid _; do
        if [ "$group_name" = "$1" ] || [ "$gid" = "$1" ]; then return; fi
    done </etc/group
    return 1
}
is_number() {
    case $1 in *[!0-9]* | '') return 1 ;; esac
}
groups=--init-groups
if ! look_up "$user"; then
    is_number "$user" || { echo "the guest has no user $user" >&2; exit 126; }
    name=$user uid=$user gid=$user home=/ shell=/bin/sh groups=--clear-groups
fi
if [ -n "$group" ] && ! look_up_group "$group"; then
    is_number "$group" || { echo "the guest has no group $group" >&2; exit 126; }
    gid=$group
fi

umask 022
mkdir -p /run/kiln
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

# busybox's setpriv changes no user; its su runs the program in its own place, as setpriv does.
if [ "$uid" != 0 ] || [ -n "$group" ]; then
    if setpriv --reuid "$uid" --regid "$gid" "$groups" true 2>/dev/null; then
        set -- setpriv --reuid "$uid" --regid "$gid" "$groups" "$@"
    elif [ -z "$group" ] && [ "$groups" = --init-groups ]; then
        set -- su -s /bin/sh "$name" -c 'exec "$0" "$@"' "$@"
    else
        echo "the guest needs setpriv (package util-linux) to run a program as $user${group:+:$group}" >&2
        exit 126
    fi
fi
unset SSH_CLIENT SSH_CONNECTION SSH_TTY SUDO_COMMAND SUDO_USER SUDO_UID SUDO_GID MAIL
export HOME="$home" USER="$name" LOGNAME="$name" SHELL="${shell:-/bin/sh}"
environment
cd "$folder" || exit 126

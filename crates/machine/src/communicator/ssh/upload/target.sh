# Says whose an upload will be, and where it goes: into a folder that is there, or that a slash at the end asks for.
# `destination`, `name` (empty for what has none), `is_file`, `user` and `group` are set before.
refuse() {
    echo "$1" >&2
    exit 1
}
uid=$user gid=
while IFS=: read -r account _ number primary _; do
    if [ "$account" = "$user" ] || [ "$number" = "$user" ]; then uid=$number gid=$primary; break; fi
done </etc/passwd
case $uid in *[!0-9]* | '') refuse "the guest has no user $user" ;; esac
[ -n "$gid" ] || gid=$uid
if [ -n "$group" ]; then
    gid=$group
    while IFS=: read -r account _ number _; do
        if [ "$account" = "$group" ] || [ "$number" = "$group" ]; then gid=$number; break; fi
    done </etc/group
    case $gid in *[!0-9]* | '') refuse "the guest has no group $group" ;; esac
fi
case $destination in
/*) ;;
*) refuse "$destination is not an absolute path" ;;
esac
place=$destination
if [ -n "$name" ]; then
    case $destination in
    */) place=$destination$name ;;
    *) [ ! -d "$destination" ] || place=$destination/$name ;;
    esac
fi
if [ -n "$is_file" ]; then
    [ ! -d "$place" ] || refuse "$place is a folder"
    case $place in */) refuse "$place names no file" ;; esac
    # A link stays a link: the file that it leads to is replaced.
    if [ -L "$place" ]; then place=$(readlink -f -- "$place" || echo "$place"); fi
fi
while :; do
    case $place in
    ?*/) place=${place%/} ;;
    *) break ;;
    esac
done
umask 022
mkdir -p -- "${place%/*}/" || exit
echo "$uid $gid"
echo "$place"

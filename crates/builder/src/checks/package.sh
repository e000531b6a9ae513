# $1: a package; $2: whether it must not be installed, `true` or `false`; $3: a pattern of its version, or nothing.
version=
if command -v dpkg-query >/dev/null; then
    found=$(dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | grep '^installed ' | head -n 1)
    version=${found#installed }
elif command -v rpm >/dev/null; then
    version=$(rpm -q --qf '%{VERSION}-%{RELEASE}\n' "$1" 2>/dev/null) || version=
elif command -v apk >/dev/null; then
    found=$(apk info -e -v "$1" 2>/dev/null) && version=${found#"$1"-}
else
    echo "there is no package manager that is known: dpkg, rpm or apk"
    exit 1
fi
if [ "$2" = true ]; then
    [ -z "$version" ] && exit 0
    echo "$1 $version is installed"
    exit 1
fi
if [ -z "$version" ]; then
    echo "$1 is not installed"
    exit 1
fi
[ -n "$3" ] || exit 0
# shellcheck disable=SC2254 # a pattern
case $version in
$3) exit 0 ;;
esac
echo "$1 is of version $version, not $3"
exit 1

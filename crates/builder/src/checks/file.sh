# $1: a path; $2: whether it must not be there, `true` or `false`; nothing, or $3: its mode, $4: its owner, $5: a text in a line.
if [ -e "$1" ] || [ -L "$1" ]; then there=true; else there=false; fi
if [ "$2" = true ]; then
    [ "$there" = false ] && exit 0
    echo "$1 is there"
    exit 1
fi
if [ "$there" = false ]; then
    echo "there is no $1"
    exit 1
fi
if [ -n "$3" ]; then
    mode=$(stat -L -c %a "$1") || exit 1
    if [ "$mode" != "$3" ]; then
        echo "its mode is $mode, not $3"
        exit 1
    fi
fi
if [ -n "$4" ]; then
    case $4 in
    *:*) owners=$(stat -L -c '%U:%G %u:%g %U:%g %u:%G' "$1") || exit 1 ;;
    *) owners=$(stat -L -c '%U %u' "$1") || exit 1 ;;
    esac
    case " $owners " in
    *" $4 "*) ;;
    *)
        echo "its owner is ${owners%% *}, not $4"
        exit 1
        ;;
    esac
fi
[ -n "$5" ] || exit 0
grep -qF -- "$5" "$1" && exit 0
echo "no line of it holds: $5"
exit 1

# Kills the process groups that it was told of once its standard input ends, that is when the program that
# started them is gone in whatever way. It reads lines of `watch <group>` and `forget <group>`.
trap '' HUP INT TERM
groups=
while read -r word group; do
    case $word in
    watch) groups="$groups $group" ;;
    forget)
        rest=
        for known in $groups; do
            [ "$known" = "$group" ] || rest="$rest $known"
        done
        groups=$rest
        ;;
    esac
done
for group in $groups; do
    kill -s KILL -- "-$group" 2>/dev/null
done
exit 0

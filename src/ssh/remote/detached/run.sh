# Runs beside the script, in a session of its own: keeps the output within bounds, and the exit.
wsexec_d=$1 wsexec_r=$1/run wsexec_mask=$2 wsexec_head=$3 wsexec_tail=$4
trap 'kill -KILL 0' EXIT
IFS= read -r wsexec_l < /proc/$$/stat && set -- ${wsexec_l##*") "} || exit 1
shift 19
wsexec_runner="$$ $1"
# Every end of a pipe is opened here and handed down: who is slow to begin finds what was written
# and closed before. The ends for the script are held open until it has ended.
exec 3<> "$wsexec_r/out.in" 4<> "$wsexec_r/err.in" 6< "$wsexec_r/out.in" 7< "$wsexec_r/err.in"
if [ -f "$wsexec_r/stdin" ]; then exec 5< "$wsexec_r/stdin"; else exec 5< /dev/null; fi
wsexec_cats=
wsexec_keep() {
  exec 8<> "$wsexec_r/$1.on" 9< "$wsexec_r/$1.on"
  exec 8> "$wsexec_r/$1.on"
  (exec <&"$2" >&8; exec 3>&- 4>&- 5<&- 6<&- 7<&- 8>&- 9<&-; exec cat) &
  wsexec_cats="$wsexec_cats $!"
  (
    exec <&9
    exec 3>&- 4>&- 5<&- 6<&- 7<&- 8>&- 9<&-
    # The first that cannot be written ends the head: what is in it is always the beginning.
    {
      (trap '' XFSZ; ulimit -f "$wsexec_head"; exec cat > "$wsexec_r/$1.head")
      exec cat > /dev/null
    } < "$wsexec_r/$1.h" &
    tail -c "$wsexec_tail" < "$wsexec_r/$1.t" > "$wsexec_r/$1.tail" &
    (trap '' PIPE; exec tee "$wsexec_r/$1.h" "$wsexec_r/$1.t") | wc -c 1<> "$wsexec_r/$1.total"
    wait
  ) &
  exec 8>&- 9<&-
}
wsexec_keep out 6
wsexec_keep err 7
exec 6<&- 7<&-
trap - EXIT
(exec 9<&0 <&5 >&3 2>&4 3>&- 4>&- 5<&-; wsexec_z sh "$wsexec_r/begin" "$wsexec_d" "$wsexec_mask" "$wsexec_runner")
rc=$?
at=$(date +%s)
until echo "$rc $at" 1<> "$wsexec_r/exit.new" && mv -f "$wsexec_r/exit.new" "$wsexec_r/exit"; do
  [ -d "$wsexec_r" ] || break
  sleep 5
done
exec 3>&- 4>&- 5<&-
# Something that the script left behind may hold its output open: it is heard for 30 s, or until it
# is silent for 5 s.
(
  n=0 s=0 was=
  while [ $n -lt 150 ] && [ $s -lt 25 ]; do
    if sleep 0.2; then k=1; else sleep 1; k=5; fi
    now=
    for c in $wsexec_cats; do
      while read -r key value; do case $key in rchar:) now=$now.$value ;; esac; done < /proc/$c/io
    done
    if [ "$now" = "$was" ]; then s=$((s + k)); else s=0; fi
    n=$((n + k)) was=$now
  done
  mv -f "$wsexec_r/cut.new" "$wsexec_r/cut"
  for c in $wsexec_cats; do
    IFS= read -r l < /proc/$c/stat && set -- ${l##*") "} && [ "$2" = $$ ] && kill $c
  done
) &
watch=$!
wait $wsexec_cats
kill $watch
wait
mv -f "$wsexec_r/done.new" "$wsexec_r/done"

# Tells all that is known of a run, and then the bytes from offset `out` of stdout and `err` of
# stderr on.
wsexec_ours && [ -f "$wsexec_r/process" ] || { wsexec_say gone; exit 0; }
read -r pid ticks boot runner started < "$wsexec_r/process"
read -r here < /proc/sys/kernel/random/boot_id
# Looked at before the exit is: what ends in between has left its exit.
alive=no watched=no over=no cut=no boots=same rc=- at=-
if [ "$boot" = "$here" ]; then
  wsexec_look "$pid"
  [ "$wsexec_t" != "$ticks" ] || alive=yes
  wsexec_look "$runner"
  [ "$wsexec_t" != "$started" ] || watched=yes
else
  boots=other
fi
[ ! -f "$wsexec_r/done" ] || over=yes
[ ! -f "$wsexec_r/cut" ] || cut=yes
[ ! -f "$wsexec_r/exit" ] || read -r rc at < "$wsexec_r/exit"
read -r cap < "$wsexec_r/cap"
size() { set -- $(wc -c < "$1"); echo "${1:-0}"; }
total() { read -r n x < "$1"; echo "${n:--}"; }
# What of the tail stands behind the head.
rest() {
  n=0
  if [ "$2" != - ] && [ "$2" -gt "$1" ]; then
    n=$(size "$3")
    [ "$n" -le $(($2 - $1)) ] || n=$(($2 - $1))
  fi
  echo "$n"
}
cd "$wsexec_r" || exit 1
o=$(size out.head) e=$(size err.head)
ot=$(total out.total) et=$(total err.total)
or=$(rest "$o" "$ot" out.tail) er=$(rest "$e" "$et" err.tail)
wsexec_say state $over $alive $watched $boots $cut "$cap" "${rc:--}" "${at:--}" "$(date +%s)" "$o" "$ot" "$or" "$e" "$et" "$er"
some() { [ "$2" -le 0 ] || tail -c +$(($3 + 1)) "$1" | head -c "$2"; }
some out.head $((o - out)) "$out"
some err.head $((e - err)) "$err"
[ "$or" -eq 0 ] || tail -c "$or" out.tail
[ "$er" -eq 0 ] || tail -c "$er" err.tail
wsexec_say over

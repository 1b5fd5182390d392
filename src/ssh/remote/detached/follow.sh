# Shows what comes from offset `out` of stdout and `err` of stderr on, until the run is over.
wsexec_ours && [ -f "$wsexec_r/process" ] || { wsexec_say gone; wsexec_say gone >&2; exit 0; }
wsexec_say follow
wsexec_say follow >&2
exec 3<&0
a= b= g=
over() {
  trap : TERM
  # One that was just forked may still catch what this one catches.
  kill -KILL $a $b $g
  wait
  exit 0
} 2> /dev/null
trap over TERM
trap : PIPE HUP
tail -c +$((out + 1)) -f "$wsexec_r/out.head" 2> /dev/null < /dev/null 3<&- &
a=$!
tail -c +$((err + 1)) -f "$wsexec_r/err.head" 1>&2 2> /dev/null < /dev/null 3<&- &
b=$!
# Nothing is ever sent: this ends with the connection.
(read -r x; kill -TERM $$) <&3 3<&- > /dev/null 2>&1 &
g=$!
exec 3<&-
read -r x x x runner started < "$wsexec_r/process"
n=0 late=0
until [ -f "$wsexec_r/done" ]; do
  # What is left behind is heard for 30 s; this is longer.
  if [ -f "$wsexec_r/exit" ]; then late=$((late + 1)); fi
  [ $late -lt 100 ] || break
  wsexec_look "$runner"
  [ "$wsexec_t" = "$started" ] || break
  if [ $n -ge 30 ] || ! sleep 0.1 2> /dev/null; then sleep 1; fi
  n=$((n + 1))
done
over

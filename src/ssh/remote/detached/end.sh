# Ends the script's session: TERM, then, after `grace` seconds, KILL.
wsexec_ours && [ -f "$wsexec_r/process" ] || { wsexec_say lost; exit 0; }
[ ! -f "$wsexec_r/exit" ] || { wsexec_say exited; exit 0; }
read -r pid ticks boot x < "$wsexec_r/process"
read -r here < /proc/sys/kernel/random/boot_id
[ "$boot" = "$here" ] || { wsexec_say gone; exit 0; }
# Sets `left` to what lives of the session. The number is the session's for as long as one does.
look() {
  left=
  for d in /proc/[0-9]*; do
    IFS= read -r l 2> /dev/null < "$d/stat" || continue
    case $l in *") "*) set -- ${l##*") "} ;; *) continue ;; esac
    [ "$4" = "$pid" ] || continue
    case $1 in [ZX]) ;; *) left="$left ${d#/proc/}" ;; esac
  done
}
look
[ -z "$left" ] || { kill -TERM $left; kill -CONT $left; } 2> /dev/null
until_then=$(($(date +%s) + grace))
while look; [ -n "$left" ] && [ "$(date +%s)" -lt $until_then ]; do sleep 0.1 2> /dev/null || sleep 1; done
n=0
while [ -n "$left" ] && [ $n -lt 30 ]; do
  kill -KILL $left 2> /dev/null
  sleep 0.1 2> /dev/null || sleep 1
  look
  n=$((n + 1))
done
if [ -n "$left" ]; then wsexec_say left$left; else wsexec_say gone; fi

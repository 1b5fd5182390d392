# What is over and on record is not needed any more; neither is what never began, once whatever
# tried has ended.
if wsexec_ours; then
  n=0
  while [ -f "$wsexec_r/failed" ] && [ ! -f "$wsexec_r/done" ] && [ $n -lt 50 ]; do
    sleep 0.1 2> /dev/null || sleep 1
    n=$((n + 1))
  done
  if [ -f "$wsexec_r/done" ] || [ ! -f "$wsexec_r/process" ]; then rm -rf "$wsexec_d" || exit 1; fi
fi
wsexec_say removed

# What is over and on record is not needed any more.
if wsexec_ours && [ -f "$wsexec_r/done" ]; then rm -rf "$wsexec_d" || exit 1; fi
wsexec_say removed

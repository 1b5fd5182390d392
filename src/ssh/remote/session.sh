# Asks a machine for the sessions (setsid(2)) of a script, and ends them.
#
# To a login shell, whichever it is, this is one word on one line: no single quote, exclamation
# mark or backslash stands in it, each line ends where a space may follow, a comment is a line.
#
# N  what nobody else says, before each line of the answer
# A  find: which session; look: and what is left of it; end: and ends it first
# K  here: the connection that asks started the script; there: another did
# W  PID:START of known leaders of its sessions, B the boot that this is counted from
# C  SSH_CONNECTION of the connection that started it, or nothing
# O  how old the script is at most, G the time between TERM and KILL: both in 1/100 s, which is
#    what /proc counts in (USER_HZ)
exec 2>/dev/null;
say() { printf "%s " wsexec $N "$@"; echo; };
if [ -r /proc/$$/stat ]; then :; else say noproc; say end; exit 0; fi;
[ -r /proc/1/stat ] || say blind;

# Sets p s q i t: number, state, parent, session and start of a process. Its name may hold anything,
# line ends and parentheses too, so only what follows the last parenthesis counts.
look() {
  p=$1; l=; while IFS= read -r x; do l=$x; done < /proc/$p/stat;
  case $l in *") "*) ;; *) return 1;; esac;
  set -- ${l##*") "}; s=$1; q=$2; i=$4; t=${20};
};

# Whether the connection C started a process: 0 it did, 1 another did, 2 nothing tells.
ours() {
  [ "$C" ] || return 2;
  e=; while IFS= read -r x || [ "$x" ]; do e="$e$x"; done < /proc/$1/environ;
  case $e in
    *"SSH_CONNECTION=$C"[0-9]*) return 1;;
    *"SSH_CONNECTION=$C"*) return 0;;
    *SSH_CONNECTION=*) return 1;;
  esac;
  return 2;
};

# Whether a process is that of Dropbear for one connection. It makes no session for a command without
# a terminal: it leads that of all of them itself, and is no part of a script. (A program that was
# started by a descriptor is called by its number.)
serves() {
  x=; IFS= read -r x < /proc/$1/comm;
  case $x in dropbear*|[0-9]*) ;; *) return 1;; esac;
  grep -qs dropbear /proc/$1/cmdline || return 1;
  ours $1; [ $? -ne 0 ];
};

# Whether the session of the process looked at last is one that the asking connection has now.
here() { look $i && [ $q -eq $P ]; };

# Sets M to the processes whose parent, group and session are such, and others: one grep is much
# cheaper than a shell that reads each. One that does not find this shell is not believed.
scan() {
  F=$(grep -lsE "[)] [A-Za-z] ($1|[0-9]+ [0-9]+ $Y) " /proc/[0-9]*/stat);
  case $F in */proc/$$/stat*) ;; *) F="/proc/[0-9]*/stat";; esac;
  M=; for f in $F; do f=${f%/*}; M="$M ${f#/proc/}"; done;
};

# Sets M to the processes that the connection C started.
from() {
  M=; for f in $(grep -lsF "SSH_CONNECTION=$C" /proc/[0-9]*/environ); do
    f=${f%/*}; f=${f#/proc/};
    if ours $f && look $f && [ $i -ne $Y ]; then
      case $s in Z*|X*) ;; *) M="$M $f";; esac;
    fi;
  done;
};

# Adds a session by its leader and the start of that.
add() { S="$S$1 "; R="$R|$1"; if [ $2 -lt $Z ]; then Z=$2; fi; };

# Whether a process lives in these sessions and is of the script. One that this shell comes from is
# not. In the session of a connection there may be what an earlier script left behind; where the
# leader is gone, nothing tells whether it was the session of a connection.
mine() {
  look $1 || return 1;
  case $S in *" $i "*) ;; *) return 1;; esac;
  case $s in Z*|X*) return 1;; esac;
  [ $p -gt 1 ] || return 1;
  case $U in *" $p "*) return 1;; esac;
  v=0; case $V in *" $i "*) v=1; [ $p -ne $i ] && [ $t -ge $X ] || return 1;; esac;
  if [ $v$D = 00 ]; then return 0; fi;
  ours $p; [ $? -ne 1 ] || return 1;
  if [ $t -ge $X ]; then return 0; fi;
  case $H in *" $p "*) ;; *) H="$H$p ";; esac; return 1;
};
some() { L=$M; M=; for f in $L; do if mine $f; then M="$M $f"; fi; done; };
all() { scan "[0-9]+ [0-9]+ ($R)"; some; };

now() { read -r u x < /proc/uptime; u=${u%.*}${u#*.}; };
rest() { sleep $1 || sleep 1; now; };

# Says what the processes M are called.
tell() {
  k=$1; n=0; for f in $M; do
    n=$((n+1)); if [ $n -le 8 ] && look $f; then
      x=; IFS= read -r x < /proc/$f/comm; say $k $f "$x";
    fi;
  done;
  say $k-all $n;
};

# U is this shell and what it comes from, Y its session, P the process that serves its connection.
# S are the sessions, V those that the process of a connection leads, D whether one without its leader
# is looked for, whose number another may have by now. Z is when the script began, X when at the
# earliest, H what is older.
U=" "; f=$$; while [ $f -gt 1 ] && look $f; do U="$U$f "; f=$q; done;
Y=0; P=0; look $$ && Y=$i; look $Y && P=$q;
read -r b < /proc/sys/kernel/random/boot_id;
now; S=" "; R=none; V=" "; H=" "; D=0; Z=9999999999999; X=$((u-O));
if [ $A = find ]; then X=0; fi;
if [ $K = here ] && [ -z "$C" ]; then C=$SSH_CONNECTION; fi;
if serves $Y; then V=" $Y "; P=$Y; fi;

# A number is given to no other process while a session has it. So where another has it, nothing is
# left of the session. One that this shell lives in is known to be a script's by nothing, but for
# Dropbear.
for w in $W; do
  h=${w#*:}; w=${w%:*};
  case $b in ""|"$B") ;; *) say rebooted; continue;; esac;
  if [ $h -lt $Z ]; then Z=$h; fi;
  if look $w; then
    if [ $t = $h ] && [ $i = $w ]; then
      if serves $w; then V="$V$w "; add $w $h;
      elif [ $w = $Y ]; then say none;
      else add $w $h; fi;
    fi;
  elif [ $w -gt 1 ]; then add $w $h; D=1; fi;
done;

# What else the connection has started and not ended leads a session each, or lives in that of the
# connection.
if [ $K = here ] && [ $P -gt 1 ]; then
  scan $P; for f in $M; do
    if look $f && [ $q -eq $P ] && [ $i -eq $p ] && [ $p -ne $Y ]; then
      ours $p; if [ $? -ne 1 ]; then say process $p $t $b $C; add $p $t; fi;
    fi;
  done;
fi;
case $K$V in "here $Y "*)
  o=$S; S=" $Y "; scan none; some; S=$o;
  case $S in *" $Y "*) M=;; esac;
  if [ "$M" ] && look $Y; then say process $Y $t $b $C; add $Y $X; fi;;
esac;
if [ $A = find ]; then say end; exit 0; fi;

# Else the session of the first process that the connection has started: what left it came later.
if [ "$S" = " " ] && [ -z "$W" ] && [ "$C" ]; then
  from; o=; for f in $M; do
    if look $f && [ $t -ge $((u-O)) ] && [ $i -gt 1 ] && [ $t -lt ${o:-$Z} ]; then
      j=$i; h=$t;
      if [ $K = here ] && look $j; then continue; fi;
      o=$h; c=$j;
    fi;
  done;
  if [ "$o" ]; then D=1; if serves $c; then V="$V$c "; fi; add $c $o; say process $c $o $b $C; fi;
fi;
if [ "$S" = " " ] && [ -z "$W" ]; then say none; fi;

all;
if [ $A = end ] && [ "$M" ]; then
  say told; some; kill -TERM $M; kill -CONT $M;
  now; E=$((u+G)); d=0.1; while [ $u -lt $E ]; do
    rest $d; some;
    if [ -z "$M" ]; then all; [ "$M" ] || break; fi;
    case $d in 0.1) d=0.2;; *) d=0.5;; esac;
  done;
  all; E=$((u+400)); while [ "$M" ] && [ $u -lt $E ]; do some; kill -KILL $M; rest 0.1; all; done;
fi;
if [ "$M" ]; then tell left; else say gone; fi;
M=$H; case $M in " ") ;; *) tell older;; esac;

# What the script put into sessions of their own.
if [ "$C" ]; then
  if [ $Z -lt $X ]; then Z=$X; fi;
  from; L=$M; M=; for f in $L; do
    look $f || continue;
    case $S in *" $i "*) continue;; esac;
    if [ $t -ge $Z ]; then
      if here; then continue; fi;
      M="$M $f";
    fi;
  done;
  if [ "$M" ]; then tell out; fi;
fi;
say end

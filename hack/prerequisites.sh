#!/bin/sh
# Says what a fresh machine lacks, with the line that installs it. Usage: prerequisites.sh PYTHON GIGABYTES
set -u
python=$1 gigabytes=$2 missing=0

lacks() {
    missing=1
    printf 'missing: %s\n         %s\n' "$1" "$2" >&2
}

case "$(uname -s)" in
    Linux) install="sudo apt-get install -y" ;;
    Darwin) install="brew install" ;;
    *) echo "Pet runs on Linux and macOS; on Windows use WSL2." >&2; exit 1 ;;
esac

command -v git >/dev/null 2>&1 || lacks "git" "$install git"
if [ -z "$python" ]; then
    lacks "Python 3.11, 3.12 or 3.13" "$install python3 (or say which: make PYTHON=/path/to/python3.12)"
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    lacks "the venv module of $python" "$install python3-venv"
fi
if [ -n "${TORCH_INDEX:-}" ]; then
    gigabytes=$((gigabytes - 6)) instead=""
else
    instead=", or give TORCH_INDEX=<index of CPU wheels>: 1 GB instead of 6"
fi
free=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1048576))
if [ "$free" -lt "$gigabytes" ] && [ ! -e .venv/.ready ]; then
    lacks "$gigabytes GB of free disk ($free GB are free here)" "free some$instead"
fi
exit "$missing"

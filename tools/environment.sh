# Sourced by tests/run, examples/three-node/run and examples/three-node/node: the Python, the user
# and the virtual environment that they work with. It makes no account and changes nothing outside
# the folders that it is given.
#
# PostgreSQL refuses to run as root. So root installs (its network settings are the ones that work)
# and everything else runs as an ordinary user, in a folder which that user can enter.
# shellcheck shell=bash

# One sentence on standard error, and the end.
die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit 1
}

# The user that does the work: oneself, or for root the one behind sudo, else postgres, else nobody.
choose_user() {
    if [ "$(id -u)" -ne 0 ]; then
        id -un 2>/dev/null || id -u
        return
    fi
    local candidate
    for candidate in "${SUDO_USER:-}" postgres nobody; do
        if [ -n "$candidate" ] && [ "$(id -u "$candidate" 2>/dev/null || echo 0)" -ne 0 ]; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "run me as an ordinary user: this machine has neither a user postgres nor nobody"
}

# become PYTHON USER HOME COMMAND...: replace this process by COMMAND run as USER. Signals go
# straight to it, and SIGINT works even where a shell had turned it off for a background job.
become() {
    local python=$1 user=$2 home=$3
    shift 3
    exec "$python" -I -c '
import os, pwd, signal, sys
user, home, command = sys.argv[1], sys.argv[2], sys.argv[3:]
if os.getuid() == 0:
    entry = pwd.getpwnam(user)
    os.initgroups(entry.pw_name, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ.update(USER=user, LOGNAME=user, HOME=home)
    for name in [n for n in os.environ if n.startswith(("SUDO_", "XDG_"))]:
        del os.environ[name]
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(f for f in folders if os.access(f, os.X_OK))
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execvp(command[0], command)
' "$user" "$home" "$@"
}

# as_user PYTHON USER HOME COMMAND...: the same in a child process.
as_user() {
    (become "$@")
}

python_fits() {
    "$1" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

python_has_venv() {
    "$1" -I -c 'import ensurepip, venv' 2>/dev/null
}

# The real file behind a name: a version manager's shim decides anew in every folder. Python finds its
# own file by the path that it was called by: by a bare name only where PATH is exported.
python_executable() {
    "$(command -v "$1")" -I -c 'import sys; print(sys.executable)' 2>/dev/null
}

# find_python USER SPARE: print a Python 3.11 to 3.13 with the module venv that USER can start. Where
# only root can start one, a copy of it is put into the folder SPARE.
find_python() {
    local user=$1 spare=$2 name found any="" fits="" unreachable=""
    for name in python3 /usr/bin/python3 python3.13 python3.12 python3.11 \
        /usr/bin/python3.1{3,2,1} /usr/local/bin/python3{,.13,.12,.11}; do
        command -v "$name" >/dev/null 2>&1 || continue
        found=$(python_executable "$name") || continue
        any=${any:-$("$found" -I -c 'import platform; print(platform.python_version())')}
        python_fits "$found" || continue
        fits=$found
        python_has_venv "$found" || continue
        if as_user "$found" "$user" / "$found" -I -c '' 2>/dev/null; then
            printf '%s\n' "$found"
            return
        fi
        unreachable=${unreachable:-$found}
    done
    [ -z "$unreachable" ] || { copy_python "$unreachable" "$user" "$spare" && return; }
    [ -n "$any" ] || die "no python3 here; on Debian and Ubuntu: apt-get install python3-venv (3.11 to 3.13 is needed)"
    [ -n "$fits" ] || die "Python 3.11, 3.12 or 3.13 is needed; the python3 here is $any"
    [ -z "$unreachable" ] || die "$unreachable cannot be started by user $user; install Python for all users"
    die "$fits lacks the module venv; on Debian and Ubuntu: apt-get install python3-venv"
}

# copy_python PYTHON USER SPARE: a Python finds its library beside itself, so that a copy works
# anywhere. Its installed packages and its own test suite stay behind.
copy_python() {
    local python=$1 user=$2 spare=$3 prefix version
    prefix=$("$python" -I -c 'import sys; print(sys.base_prefix)')
    version=$("$python" -I -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    mkdir -p "$spare/bin" "$spare/lib" &&
        cp "$(readlink -f "$python")" "$spare/bin/$version" &&
        { cp -P "$prefix"/lib/libpython3* "$spare/lib/" 2>/dev/null || true; } &&
        tar -C "$prefix/lib" --exclude=site-packages --exclude="$version/test" \
            --exclude=__pycache__ -cf - "$version" | tar -C "$spare/lib" -xf - &&
        mkdir -p "$spare/lib/$version/site-packages" &&
        as_user "$python" "$user" / "$spare/bin/$version" -I -c 'import ensurepip, ssl, venv' &&
        printf '%s\n' "$spare/bin/$version"
}

# can_enter PYTHON USER FOLDER, can_write PYTHON USER FOLDER: as that user sees it.
can_enter() {
    as_user "$1" "$2" / test -r "$3" -a -x "$3"
}

can_write() {
    as_user "$1" "$2" / test -w "$3" -a -x "$3"
}

# copy_tree FROM TO: the sources, without history, environments, caches and the example's data.
copy_tree() {
    tar -C "$1" --exclude=./.git --exclude=./.venv --exclude='__pycache__' --exclude='*.egg-info' \
        --exclude='./build' --exclude='./dist' --exclude='.*_cache' --exclude='./.hypothesis' \
        --exclude=./examples/three-node/run.d -cf - . | tar -C "$2" --no-same-owner -xf - &&
        chmod -R u+rwX,go+rX "$2"
}

# make_environment PYTHON VENV SOURCE EXTRAS: have a virtual environment with the package as it is
# in SOURCE (a copy: building leaves traces there). The packages that it needs are installed anew
# only when pyproject.toml, the extras or the Python changed.
make_environment() {
    local python=$1 venv=$2 source=$3 extras=$4 wanted
    wanted=$({ cat "$source/pyproject.toml" && printf '%s\n' "$venv $extras" && "$python" -VV; } |
        sha256sum)
    if [ "$(cat "$venv/raftha.stamp" 2>/dev/null)" != "$wanted" ] ||
        ! "$venv/bin/python" -I -c 'import setuptools, pip' 2>/dev/null; then
        "$python" -I -m venv --clear "$venv" ||
            die "cannot make a virtual environment in $venv; see the message above"
        pip_install "$venv" 'setuptools>=68' wheel
        pip_install "$venv" "$source${extras:+[$extras]}" --no-build-isolation
        printf '%s\n' "$wanted" >"$venv/raftha.stamp"
    else
        pip_install "$venv" "$source" --no-build-isolation --no-deps --force-reinstall
    fi
    chmod -R go+rX "$venv" 2>/dev/null || true
}

# pip_install VENV WHAT...: its words are shown only when it fails.
pip_install() {
    local venv=$1 said
    shift
    if ! said=$("$venv/bin/python" -I -m pip install --disable-pip-version-check --no-input \
        --progress-bar off "$@" 2>&1 </dev/null); then
        printf '%s\n' "$said" | tail -n 15 >&2
        die "pip could not install ${1##*/} (its last words are above); it needs a network or a mirror set up for it"
    fi
}

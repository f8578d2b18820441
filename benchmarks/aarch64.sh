#!/usr/bin/env bash
# PowerTrain on aarch64, the processors of the Jetson boards, without one.
#
#   benchmarks/aarch64.sh wheels [DIR]   the dependencies' wheels, and the C library that they need
#   benchmarks/aarch64.sh tests [DIR]    installs and tests the last commit in an arm64 Debian, under qemu
#
# `wheels` needs git, a Python with pip and binutils. `tests` needs root, Debian's debootstrap, qemu-user-static and
# patchelf, and a Python 3.10 with its headers (PYTHON310=python3.10; without one only Debian's own Python is tested).
# DIR keeps the downloads, the arm64 system and the logs. TESTS and LIMIT_S choose what runs and how long.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
python310=${PYTHON310:-python3.10}
limit_s=${LIMIT_S:-1800}
tests=${TESTS:-"test_*.py devices dataset optimisation profiling cli models report evaluation workloads"}
# pip reads the markers of the Python that it runs on, and 3.10 needs the last two
needs=(hypothesis 'pytest>=9' pytest-timeout pytest-xdist exceptiongroup tomli)

usage() { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
pip() { "$python" -m pip --disable-pip-version-check "$@"; }
glibc() { sort -uV | tail -n 1; }

# fetch VERSION DIR WHAT...: wheels only, for CPython VERSION on aarch64, as a board's pip would choose them.
fetch() {
    local abi=cp${1/./} into=$2
    local target=(--only-binary=:all: --python-version "$1" --implementation cp --abi "$abi" --abi abi3 --abi none)
    local glibc_minor
    for glibc_minor in $(seq 17 31); do target+=(--platform "manylinux_2_${glibc_minor}_aarch64"); done
    shift 2
    pip download --quiet "${target[@]}" --platform manylinux2014_aarch64 --dest "$into" "$@"
}

# package: the wheel of the last commit, from a clean clone.
package() {
    rm -rf "$work/clone" "$work/dist"
    git clone --quiet "$here" "$work/clone"
    pip wheel --quiet --no-deps --wheel-dir "$work/dist" "$work/clone"
    ls "$work"/dist/powertrain-*.whl
    git -C "$work/clone" log -1 --format='Commit %h, %cs' >&2
}

# oldest WHEEL: the C library that its tag asks for, and the newest symbol that its libraries ask for.
oldest() {
    local tag symbol
    tag=$(grep -oE 'manylinux_2_[0-9]+' <<<"$1" | sed 's/manylinux_//; s/_/./' | sort -V | head -n 1)
    rm -rf "$work/open" && "$python" -m zipfile -e "$1" "$work/open"
    symbol=$(find "$work/open" -name '*.so*' -exec readelf -V -W {} + | grep -oE 'GLIBC_[0-9.]+' | glibc)
    echo "${tag:-any} | ${symbol#GLIBC_}"
}

wheels() {
    local version wheel
    wheel=$(package)
    echo "| Python | wheel | glibc of the tag | newest glibc symbol |"
    echo "| --- | --- | --: | --: |"
    for version in 3.10 3.12; do
        fetch "$version" "$work/wheels-$version" "${wheel}[report,nvml]" 'pillow>=10'
        fetch "$version" "$work/wheels-$version" --no-deps 'torch>=2.1' # not what it pulls in: a board has NVIDIA's
        for wheel in "$work/wheels-$version"/*aarch64.whl; do
            echo "| $version | $(basename "$wheel" | cut -d - -f 1,2 | tr - ' ') | $(oldest "$wheel") |"
        done
        for wheel in "$work/wheels-$version"/*-any.whl; do
            echo "| $version | $(basename "$wheel" | cut -d - -f 1,2 | tr - ' ') | any | |"
        done
        wheel=$(ls "$work"/dist/powertrain-*.whl)
    done
}

# qemu shows the oldest board's processor (TX2, Nano), not every extension that it knows: OpenBLAS would choose kernels
# that run on no Jetson, and whose stray floating-point flags become warnings.
inside() { env -i QEMU_CPU=cortex-a57 PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 chroot "$root" "$@"; }

# An arm64 Debian of this machine's release, from this machine's mirror.
make_root() {
    local release mirror
    release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    # shellcheck disable=SC2016  # apt's own variable
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $release" | head -n 1)
    debootstrap --foreign --arch=arm64 --variant=minbase --include=python3-venv,gcc,libc6-dev,procps "$release" "$root" "$mirror"
    inside /debootstrap/debootstrap --second-stage
} >"$work/debootstrap.log" 2>&1

# Debian has no Python 3.10. A frozen application's stub on the registry holds all of CPython 3.10 for aarch64; the
# rest of an interpreter is a `main` and the standard library, which is the same on every processor.
make_python310() {
    local home=$root/opt/python3.10 from
    fetch 3.10 "$work/stub" --no-deps cx_Freeze==7.2.10
    rm -rf "$work/open" "$home" && mkdir -p "$home/bin" "$home/lib/python3.10/site-packages" "$home/include"
    "$python" -m zipfile -e "$work"/stub/cx_Freeze-*.whl "$work/open"
    from=$("$python310" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
    tar -C "$from" --exclude=lib-dynload --exclude=site-packages --exclude=test --exclude=__pycache__ --exclude='config-*' -cf - . |
        tar -C "$home/lib/python3.10" -xf -
    sed 's/x86_64/aarch64/g' "$from"/_sysconfigdata_*.py >"$home/lib/python3.10/_sysconfigdata__linux_.py"
    cp "$home"/lib/python3.10/_sysconfigdata__linux_{,aarch64-linux-gnu}.py
    cp -r "$("$python310" -c 'import sysconfig; print(sysconfig.get_path("include"))')"/. "$home/include"
    cp -r "$work/open/cx_Freeze/bases/lib-dynload" "$home/lib/python3.10/"
    cp "$work"/open/cx_Freeze/bases/lib/*.so* "$home/lib/"
    install -m 755 "$work"/open/cx_Freeze/bases/console-cpython-310-* "$home/bin/python3.10"
    cat >"$home/main.c" <<'C'
#include <Python.h>
#include <dlfcn.h>
#include <signal.h>
typedef int (*Main)(int, char **, char **);
typedef int (*Start)(Main, int, char **, Main, void (*)(void), void (*)(void), void *);
extern int _Py_UnhandledKeyboardInterrupt;

static int run(PyConfig *config) {
    if (!config->isolated) /* where python3 looks first: the script's folder, or this one */
        PyRun_SimpleString("import sys, os\nsys.path.insert(0, os.getcwd() if sys.argv[0] == '-m' else "
                           "os.path.dirname(os.path.realpath(sys.argv[0])) if sys.argv[0] not in ('', '-c') else '')\n"
                           "del sys, os");
    if (config->run_module) {
        PyObject *runpy = PyImport_ImportModule("runpy");
        if (runpy && PyObject_CallMethod(runpy, "_run_module_as_main", "u", config->run_module)) return 0;
        _Py_UnhandledKeyboardInterrupt = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
        PyErr_Print();
        return 1;
    }
    if (config->run_command)
        return PyRun_SimpleString(PyUnicode_AsUTF8(PyUnicode_FromWideChar(config->run_command, -1))) != 0;
    if (!config->run_filename) return PyRun_AnyFile(stdin, "<stdin>") != 0;
    const char *path = PyUnicode_AsUTF8(PyUnicode_FromWideChar(config->run_filename, -1));
    FILE *file = fopen(path, "rb");
    return file ? PyRun_SimpleFileEx(file, path, 1) != 0 : 2;
}

static int python_main(int argc, char **argv, char **env) {
    PyConfig config;
    (void)env;
    PyConfig_InitPythonConfig(&config);
    PyStatus status = PyConfig_SetBytesArgv(&config, argc, argv);
    if (!PyStatus_Exception(status)) status = PyConfig_Read(&config);
    if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
    if (PyStatus_Exception(status)) Py_ExitStatusException(status);
    int code = run(&config);
    if (Py_FinalizeEx() < 0) code = 120;
    if (_Py_UnhandledKeyboardInterrupt) {
        signal(SIGINT, SIG_DFL);
        kill(getpid(), SIGINT);
    }
    return code;
}

int __libc_start_main(Main stub, int argc, char **argv, Main init, void (*fini)(void), void (*rtld)(void), void *end) {
    (void)stub;
    return ((Start)dlsym(RTLD_NEXT, "__libc_start_main"))(python_main, argc, argv, init, fini, rtld, end);
}
C
    inside gcc -shared -fPIC -I/opt/python3.10/include -o /opt/python3.10/lib/libmain.so /opt/python3.10/main.c
    patchelf --add-needed libmain.so "$home/bin/python3.10"
}

# try PYTHON: a fresh environment, the package from wheels alone, and the tests, one line for each folder of them.
try() {
    local version folder log started what
    version=$(inside "$1" -c 'import platform; print(platform.python_version())')
    local minor=${version%.*} pins=()
    [ "$minor" = 3.10 ] || pins=(--constraint "$here/constraints.txt")
    fetch "$minor" "$root/srv/wheels-$minor" "${pins[@]}" "${wheel}[report,nvml]" "${needs[@]}"
    rm -rf "$root/srv/$minor" && mkdir -p "$root/srv/$minor" && cp "$wheel" "$root/srv/wheels-$minor"
    cp -r "$work/clone" "$root/srv/$minor/powertrain"
    inside "$1" -m venv "/srv/$minor/venv"
    inside "/srv/$minor/venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-index \
        --find-links "/srv/wheels-$minor" "powertrain[report,nvml]" "${needs[@]}"
    inside "/srv/$minor/venv/bin/python" -c "import sys, platform, numpy, scipy, powertrain
print(f'\nPython {platform.python_version()} on {platform.machine()}, {\" \".join(platform.libc_ver())}, numpy {numpy.__version__}, '
      f'scipy {scipy.__version__}, PowerTrain {powertrain.__version__} of {powertrain.__path__[0]}\n')"
    echo "| tests | passed | skipped | failed | s |"
    echo "| --- | --: | --: | --: | --: |"
    for folder in $tests; do
        log=$work/$minor-${folder//[*\/]/}.log started=$(date +%s)
        # hypothesis' own profile "ci" has no deadlines; a command under test would take a milder signal for its own
        inside timeout --signal=KILL "$limit_s" nice -n 15 bash -c "cd /srv/$minor/powertrain && OPENBLAS_NUM_THREADS=1 ../venv/bin/python -m pytest \
            -v -n 0 --timeout=0 -p no:cacheprovider --hypothesis-profile=ci --durations=5 tests/$folder" >"$log" 2>&1 </dev/null || true
        printf '| %s |' "$folder"
        for what in PASSED SKIPPED 'FAILED|ERROR'; do printf ' %s |' "$(grep -cE " ($what) .*\[ *[0-9]+%\]$" "$log")"; done || true
        printf ' %s |' $(($(date +%s) - started))
        grep -qE '^=+ .* in [0-9.]+s' <<<"$(tail -n 1 "$log")" && echo || echo ' stopped |'
    done
}

tests() {
    [ "$(id -u)" = 0 ] || { echo "root is needed to make and enter the arm64 system" >&2 && exit 1; }
    # the mounts below are seen by this script and what it starts alone, and go with it
    [ -n "${IN_OWN_MOUNTS-}" ] || IN_OWN_MOUNTS=1 exec unshare --mount "$0" tests "$work"
    local binfmt=/proc/sys/fs/binfmt_misc wheel
    [ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt
    if [ ! -e $binfmt/qemu-aarch64 ]; then
        cat /usr/lib/binfmt.d/qemu-aarch64.conf >$binfmt/register
        trap 'echo -1 >/proc/sys/fs/binfmt_misc/qemu-aarch64' EXIT # the one change that the whole machine sees
    fi
    if [ ! -e "$root/opt/made" ]; then
        rm -rf "$root"
        make_root
        touch "$root/opt/made"
    fi
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t tmpfs tmpfs "$root/tmp"
    wheel=$(package)
    if "$python310" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' 2>/dev/null; then
        make_python310
        try /opt/python3.10/bin/python3.10
    else
        echo "no Python 3.10 at $python310: the tests run on Debian's alone" >&2
    fi
    try /usr/bin/python3
}

case ${1-} in wheels | tests) ;; *) usage ;; esac
work=$(realpath -m "${2:-/var/tmp/powertrain-aarch64}") root=$work/root
mkdir -p "$work"
"$1"

# SPDX-License-Identifier: Apache-2.0
# What moesweep needs from the machine, shared by ./demo and ./check (sourced by bash, not run).
#   deps_ensure NAME...   installs through apt-get what is missing, or names it and fails
#   stage NAME            says what begins, and how long the part before took

# name | what it is | apt | dnf | Spack | environment module (names differ a little between sites)
deps_table='
cc|a C compiler|gcc libc6-dev|gcc|gcc|GCC
cmake|CMake, 3.18 or newer|cmake|cmake|cmake|CMake
ninja|Ninja or make|ninja-build|ninja-build|ninja|Ninja
pkg-config|pkg-config|pkg-config|pkgconf-pkg-config|pkgconf|pkgconf
mpi|Open MPI, with mpirun and headers|libopenmpi-dev openmpi-bin|openmpi-devel|openmpi|OpenMPI
libconfig|libconfig|libconfig-dev|libconfig-devel|libconfig|libconfig
gsl|GNU Scientific Library|libgsl-dev|gsl-devel|gsl|GSL
jansson|jansson|libjansson-dev|jansson-devel|jansson|Jansson
isal|ISA-L|libisal-dev|isa-l-devel|isa-l|ISA-L
onednn|oneDNN (or OpenBLAS)|libdnnl-dev|onednn-devel|onednn|oneDNN
gnuplot|gnuplot|gnuplot-nox|gnuplot-minimal|gnuplot|gnuplot
clang|clang|clang|clang|llvm|Clang
valgrind|valgrind|valgrind|valgrind|valgrind|Valgrind
debootstrap|debootstrap|debootstrap|debootstrap|-|-
slurm|Slurm with its daemons, and munge|slurm-client slurmctld slurmd munge|slurm-slurmctld slurm-slurmd munge|slurm|-
'

# What nothing works without; the rest makes training faster (oneDNN) or draws plots (gnuplot).
deps_essential='cc cmake ninja pkg-config mpi libconfig gsl jansson isal clang debootstrap'

# Compiles and links an empty program that includes header $1 with the flags after it; Spack and
# modules say where their packages are in CMAKE_PREFIX_PATH.
deps_links() {
    local header=$1 prefix flags=() prefixes=()
    shift
    IFS=: read -ra prefixes <<<"${CMAKE_PREFIX_PATH:-}"
    for prefix in "${prefixes[@]}"; do
        flags+=("-I$prefix/include" "-L$prefix/lib" "-L$prefix/lib64")
    done
    printf '#include <%s>\nint main(void) { return 0; }\n' "$header" |
        "${CC:-cc}" -x c - "${flags[@]}" -o /dev/null "$@" 2>/dev/null
}

deps_cmake_is_new_enough() {
    local version
    version=$(cmake --version | awk 'NR == 1 { print $3 }') &&
        printf '3.18\n%s\n' "$version" | sort -V -C
}

deps_have() {
    case $1 in
    cc) command -v "${CC:-cc}" ;;
    cmake) deps_cmake_is_new_enough ;;
    ninja) command -v ninja || command -v make ;;
    mpi) command -v mpirun && command -v mpicc ;;
    libconfig | gsl | jansson) pkg-config --exists "$1" ;;
    isal) deps_links isa-l.h -lisal ;;
    onednn) deps_links dnnl.h -ldnnl || deps_links cblas.h -lopenblas ;;
    slurm) command -v slurmctld && command -v slurmd && command -v munged ;;
    *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

deps_row() { # NAME FIELD-NUMBER
    awk -F'|' -v name="$1" -v field="$2" '$1 == name { print $field }' <<<"$deps_table"
}

deps_name_missing() {
    local name
    {
        echo "what is missing|apt|dnf|Spack|module"
        for name in "$@"; do
            echo "$(deps_row "$name" 2)|$(deps_row "$name" 3)|$(deps_row "$name" 4)|$(
                deps_row "$name" 5)|$(deps_row "$name" 6)"
        done
    } | awk -F'|' '{ printf "  %-40s %-28s %-20s %-12s %s\n", $1, $2, $3, $4, $5 }'
}

deps_ensure() {
    local name missing=() packages=() as_root=()
    for name in "$@"; do
        deps_have "$name" || missing+=("$name")
    done
    if ((${#missing[@]} == 0)); then
        return 0
    fi
    for name in "${missing[@]}"; do
        read -ra words <<<"$(deps_row "$name" 3)"
        packages+=("${words[@]}")
    done
    local why=""
    if ! command -v apt-get >/dev/null; then
        why="this machine has no apt-get"
    elif ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
        why="installing needs root, and sudo would ask for a password"
    fi
    if [[ $why ]]; then
        if [[ ! " ${missing[*]} " =~ \ (${deps_essential// /|})\  ]]; then
            echo "missing here, and $why; it goes on without (slower, or without plots):" >&2
            deps_name_missing "${missing[@]}" >&2
            return 0
        fi
        {
            echo "missing here, and $why:"
            deps_name_missing "${missing[@]}"
            if command -v apt-get >/dev/null; then
                echo "as root: apt-get install --no-install-recommends ${packages[*]}"
            fi
        } >&2
        return 1
    fi
    ((EUID == 0)) || as_root=(sudo -n)
    echo "installing ${packages[*]}"
    local log
    log=$(mktemp)
    # An update that fails (no network, but a local cache) need not stop the installation.
    "${as_root[@]}" apt-get update -qq >"$log" 2>&1 || true
    if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "${packages[@]}" >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        {
            echo "apt-get could not install what is missing:"
            deps_name_missing "${missing[@]}"
        } >&2
        return 1
    fi
    rm -f "$log"
    hash -r
    for name in "${missing[@]}"; do
        if ! deps_have "$name"; then
            echo "installed $(deps_row "$name" 3), yet $(deps_row "$name" 2) does not work" >&2
            return 1
        fi
    done
}

stage_name=""
stage_times=()
stage_since=0
stage_end() {
    if [[ $stage_name ]]; then
        stage_times+=("$((SECONDS - stage_since))|$stage_name")
    fi
    stage_name=""
}
stage() {
    stage_end
    stage_name=$1
    stage_since=$SECONDS
    printf '== %s\n' "$1"
}
stage_print() {
    stage_end
    local entry
    for entry in "${stage_times[@]}"; do
        printf '%5d s  %s\n' "${entry%%|*}" "${entry#*|}"
    done
    printf '%5d s  in all\n' "$SECONDS"
}

#!/bin/sh
# Makes a checkout ready to run: system libraries, .venv, pinned packages, llama.cpp for this machine's GPU.
#   tools/prepare.sh run     what the window needs
#   tools/prepare.sh test    that, and what the tests and checks need
# GPU=cuda|vulkan|none chooses llama.cpp's backend; unset, an NVIDIA GPU with nvcc gives CUDA, anything else the CPU.
set -eu
cd "$(dirname "$0")/.."
purpose=${1:-run}
say() { printf '%s\n' "$*" >&2; }

# ---- system libraries: which are missing, by the file the loader looks for ------------------------------------------
missing=""
want() { case " $missing " in *" $1 "*) ;; *) missing="$missing $1" ;; esac; }
has_command() { command -v "$1" >/dev/null 2>&1; }

if [ "$(uname -s)" = Linux ]; then
  libraries=$( (ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null) || true)
  has_library() { case "$libraries" in *"$1"*) return 0 ;; *) return 1 ;; esac; }
  for pair in libEGL.so.1:libegl1 libGL.so.1:libgl1 libxkbcommon.so.0:libxkbcommon0 libdbus-1.so.3:libdbus-1-3 \
    libfontconfig.so.1:libfontconfig1 libfreetype.so.6:libfreetype6 libglib-2.0.so.0:libglib2.0-0 \
    libgomp.so.1:libgomp1 libxcb-cursor.so.0:libxcb-cursor0 libxcb-icccm.so.4:libxcb-icccm4 \
    libxcb-image.so.0:libxcb-image0 libxcb-keysyms.so.1:libxcb-keysyms1 libxcb-randr.so.0:libxcb-randr0 \
    libxcb-render-util.so.0:libxcb-render-util0 libxcb-shape.so.0:libxcb-shape0 libxcb-xkb.so.1:libxcb-xkb1 \
    libxkbcommon-x11.so.0:libxkbcommon-x11-0 libX11-xcb.so.1:libx11-xcb1; do
    has_library "${pair%%:*}" || want "${pair##*:}"
  done
fi
has_command cc || want gcc
has_command c++ || want g++
if has_command python3; then
  python3 -c 'import ensurepip, venv' 2>/dev/null || want python3-venv
else
  want python3
  want python3-venv
fi
if [ "$purpose" = test ] && [ "$(uname -s)" = Linux ]; then
  has_command git || want git
  has_command Xvfb || want xvfb
fi

if [ -n "$missing" ]; then
  if has_command apt-get && [ "$(id -u)" = 0 ]; then
    say "Installing system libraries:$missing"
    DEBIAN_FRONTEND=noninteractive apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
  elif has_command apt-get; then
    say "System libraries are missing. Type this line, then run make again:"
    say "  sudo apt-get install -y$missing"
    exit 1
  else
    say "System libraries are missing; in Debian's names:$missing. Install your system's packages of them, then run make again."
    exit 1
  fi
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  say "Python is $(python3 -c 'import platform; print(platform.python_version())'); Pult needs 3.11 or newer. Install it and run make again."
  exit 1
}

# ---- which llama.cpp ------------------------------------------------------------------------------------------------
gpu=${GPU:-auto}
case "$gpu" in
  auto)
    gpu=none
    if has_command nvidia-smi && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
      if has_command nvcc; then gpu=cuda
      else say "An NVIDIA GPU is here but nvcc is not: llama.cpp is built for the CPU. Install the CUDA toolkit and run make again for the GPU."; fi
    fi ;;
  cuda) has_command nvcc || { say "GPU=cuda needs nvcc, which was not found. Install the CUDA toolkit, or use GPU=none."; exit 1; } ;;
  vulkan) has_command glslc || { say "GPU=vulkan needs glslc and the Vulkan headers. On Debian: apt-get install glslc libvulkan-dev."; exit 1; } ;;
  none) ;;
  *) say "GPU is '$gpu'. It takes cuda, vulkan or none."; exit 1 ;;
esac

# ---- .venv, only when something changed -----------------------------------------------------------------------------
extra=""
[ "$purpose" = test ] && extra="[dev]"
wanted="$(cat pyproject.toml constraints.txt tools/prepare.sh | cksum) $gpu"
stamp=.venv/.pult-$purpose
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi
[ "$purpose" = run ] && [ -f .venv/.pult-test ] && [ "$(cat .venv/.pult-test)" = "$wanted" ] && exit 0

[ -x .venv/bin/python ] || python3 -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

engine=$(sed -n 's/^llama[-_]cpp[-_]python==//p' constraints.txt)
have=$(cat .venv/.pult-engine 2>/dev/null || true)
if [ "$have" != "$engine $gpu" ]; then
  if [ "$gpu" = none ]; then
    say "Installing llama.cpp for the CPU. The first time it is compiled, about 7 minutes on 2 cores; pip keeps the result."
    pip install -q -c constraints.txt "llama-cpp-python==$engine"
  else
    # pip's own wheel cache does not know build flags, so a GPU build is kept in a folder of its own.
    wheels="${XDG_CACHE_HOME:-$HOME/.cache}/pult/wheels/$engine-$gpu"
    if ! ls "$wheels"/llama_cpp_python-*.whl >/dev/null 2>&1; then
      say "Compiling llama.cpp for $gpu: several minutes, once."
      case "$gpu" in cuda) flags="-DGGML_CUDA=on" ;; vulkan) flags="-DGGML_VULKAN=on" ;; esac
      CMAKE_ARGS="$flags ${CMAKE_ARGS:-}" .venv/bin/python -m pip --disable-pip-version-check wheel -q --no-cache-dir --no-deps \
        --no-binary llama-cpp-python -w "$wheels" "llama-cpp-python==$engine"
    fi
    pip install -q -c constraints.txt --force-reinstall --no-deps "$wheels"/llama_cpp_python-*.whl
  fi
  printf '%s' "$engine $gpu" > .venv/.pult-engine
fi
say "Installing Pult's packages."
pip install -q -c constraints.txt -e ".$extra"
printf '%s' "$wanted" > "$stamp"

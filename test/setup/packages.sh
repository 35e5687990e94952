# What the tests call besides Node: one line per program, with the Debian package that brings it. Sourced by test/run.sh.
#
# A program that is missing is installed when this may be done; what cannot be installed is named in its own line. In CI
# (CI=1 or CI=true) that is a failure: a check that silently did not run is worse than none. Elsewhere the tests that
# need it skip themselves, and say so.

packages=(
  'openssl openssl'
  'nginx nginx'
  'apache2 apache2-bin'
  'gnutls-cli gnutls-bin'
  'curl curl'
  'haproxy haproxy'
  'varnishd varnish'
  'vfychain libnss3-tools'
  'javac default-jdk-headless'
  'zsh zsh'
  'fish fish'
  'softhsm2-util softhsm2'
  'pkcs11-tool opensc'
  'redis-server redis-server'
  'prometheus prometheus'
  'amtool prometheus-alertmanager'
  'swift-proxy-server swift-proxy'
  'swift-object-server swift-object'
  'swift-container-server swift-container'
  'swift-account-server swift-account'
)

# Debian keeps daemons in sbin, which is not in everybody's path.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

install_missing_packages() {
  local entry program package as_root=() missing=() left=0
  for entry in "${packages[@]}"; do
    read -r program package <<<"$entry"
    command -v "$program" >/dev/null || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0

  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
  if command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }; then
    echo "test: installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq >/dev/null 2>&1
    # One at a time: a package that is not to be had must not keep the others out.
    for package in "${missing[@]}"; do
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1
    done
  fi

  for entry in "${packages[@]}"; do
    read -r program package <<<"$entry"
    command -v "$program" >/dev/null && continue
    echo "test: MISSING $program: install the package $package; what needs it is not tested" >&2
    left=1
  done
  return "$left"
}

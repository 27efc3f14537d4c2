# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The host's package mirror and proxy, for making an image and for the apt inside it. Source it after common.sh.

# mirror_sources SUITE: sources.list lines of that suite of the host's Debian mirror, updates where it has them. Sets
# CODENAME, the suite's code name.
mirror_sources() {
    local lines
    suite_open "$1"
    CODENAME=$(suite_codename)
    # shellcheck disable=SC2016 # apt's own variables
    lines=$(apt-get "${SUITE_APT[@]}" indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' \
        'Created-By: Packages' | sort -u)
    [[ -n $CODENAME && $lines == *" $CODENAME main"* ]] || die "apt found no packages in suite '$1'"
    printf '%s\n' "$lines"
}

# apt_setting NAME: the host's setting, or nothing.
apt_setting() { apt-config dump --format '%v%n' "$1" | head -n 1; }

# mirror_proxy SCHEME: the proxy that the host uses for the mirror, or nothing.
mirror_proxy() {
    local proxy variable=$1_proxy
    proxy=$(apt_setting "Acquire::$1::Proxy")
    proxy=${proxy:-${!variable:-}}
    [ "$proxy" = DIRECT ] || printf '%s' "$proxy"
}

# seen_by_guest: an address of the host's loopback is the guest's gateway (passt), whose name there is _gateway.
seen_by_guest() { sed -E 's#//([^/@]*@)?(localhost|127\.[0-9.]+|\[::1\])([:/]|$)#//\1_gateway\3#'; }

# mirror_apt_conf: lines of apt.conf that apt needs here and in the guest alike.
mirror_apt_conf() {
    local name value
    for name in Acquire::Check-Valid-Until Acquire::Check-Date; do
        value=$(apt_setting $name)
        [ -z "$value" ] || printf '%s "%s";\n' "$name" "$value"
    done
    for name in http https; do
        value=$(mirror_proxy $name)
        [ -z "$value" ] || printf 'Acquire::%s::Proxy "%s";\n' "$name" "$value"
    done
}

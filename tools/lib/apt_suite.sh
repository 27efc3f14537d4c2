# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# apt for another suite of the host's Debian mirror, with lists and a state of its own: nothing of the host's apt changes,
# and apt itself checks signatures and sums. Source it after common.sh and ../debian.d/mirror.sh.

# suite_name NAME: a release's number by its name; stable, testing and the like stay what they are.
suite_name() {
    case $1 in
    11) echo bullseye ;;
    12) echo bookworm ;;
    13) echo trixie ;;
    14) echo forky ;;
    *) printf '%s\n' "$1" ;;
    esac
}

# host_mirror LABEL: the address of the host's mirror of Debian or Debian-Security, or nothing.
host_mirror() {
    # shellcheck disable=SC2016 # apt's own variables
    apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' | sed -n "s/^$1|//p" | head -n 1
}

# suite_sources SUITE security|plain: lines of sources.list.
suite_sources() {
    local mirror security keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=''
    mirror=$(host_mirror Debian)
    [ -n "$mirror" ] || die "apt here has no Debian mirror; add one to /etc/apt/sources.list and run apt-get update"
    [ ! -e $keyring ] || signed="[signed-by=$keyring] "
    printf 'deb %s%s %s main\n' "$signed" "$mirror" "$1"
    [ "$2" = security ] || return 0
    security=$(host_mirror Debian-Security)
    [ -z "$security" ] || printf 'deb %s%s %s-security main\n' "$signed" "$security" "$1"
}

# suite_open SUITE: sets SUITE_APT, the options by which apt-get and apt-cache see that suite alone, with lists of today.
# Status 4, and a sentence, where the mirror has no such suite.
suite_open() {
    local folder=$PARAPET_CACHE/suites/$1/apt log status=0 sources lock
    apt_lists
    mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial"
    exec {lock}>"$folder/lock" # another may be reading the same lists
    flock "$lock"
    SUITE_APT=(
        -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::Etc::preferencesparts=/dev/null -o "Dir::State=$folder/state" -o Dir::State::status=/dev/null
        -o "Dir::Cache=$folder/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root
        -o APT::Update::Post-Invoke-Success::= -o APT::Install-Recommends=false -o APT::Architecture=amd64
    )
    [ -z "$(find "$folder/current" -mmin -720 2>/dev/null)" ] || {
        exec {lock}>&-
        return 0
    }
    log=$folder/update.log
    for sources in security plain; do
        suite_sources "$1" $sources >"$folder/sources.list"
        status=0
        apt-get -qq "${SUITE_APT[@]}" --error-on=any update >"$log" 2>&1 </dev/null || status=$?
        [ $status != 0 ] || break
    done
    if [ $status = 0 ]; then
        touch "$folder/current"
    elif grep -qE '404|does not have a Release file|no longer has a Release file' "$log"; then
        export PARAPET_DIE_STATUS=4
        die "$(host_mirror Debian) has no suite '$1' (any more)"
    elif [ -e "$folder/current" ]; then
        say "tools/fetch: the mirror does not answer; what is known of suite '$1' is older"
    else
        sed 's/^/  apt: /' "$log" >&2
        die "apt could not read suite '$1' of $(host_mirror Debian); its messages stand above"
    fi
    exec {lock}>&-
}

# suite_codename: the code name of the suite that suite_open has opened: trixie, where stable was asked for.
suite_codename() {
    # shellcheck disable=SC2016 # apt's own variables
    apt-get "${SUITE_APT[@]}" indextargets --format '$(LABEL)|$(CODENAME)' 'Created-By: Packages' |
        sed -n 's/^Debian|//p' | head -n 1
}

#!/usr/bin/env bash
# The keys of the test guests, made once and kept in the cache, never committed. Prints the folder.
#
#   ca.pem ca.key                the CA that the trusted kernel has built in
#   ima.{pem,der,key}            signs every base package, EC P-256, accepted by .ima
#   foreign-ca.pem foreign.{pem,der,key}   a CA that no kernel knows, and its leaf
#   refused/*.der                certificates that .ima does not take, named by the reason
#   accepted/*.{der,pem}         further ones that it takes
set -euo pipefail
. "$(dirname "$0")/cache.sh"

ca() { # NAME SUBJECT
    openssl req -new -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -noenc -keyout "$1.key" -out "$1.pem" \
        -subj "$2" -days 36500 -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
        -addext subjectKeyIdentifier=hash 2>/dev/null
}

# NAME CA ALGORITHM DAYS SUBJECT EXTENSION...: a certificate signed by CA, as PEM and as DER
leaf() {
    local name=$1 ca=$2 algorithm=$3 days=$4 subject=$5
    shift 5
    case $algorithm in
    rsa*) set -- rsa:"${algorithm#rsa}" -- "$@" ;;
    *) set -- ec -pkeyopt "ec_paramgen_curve:$algorithm" -- "$@" ;;
    esac
    local new=()
    while [ "$1" != -- ]; do new+=("$1"); shift; done
    shift
    openssl req -new -newkey "${new[@]}" -noenc -keyout "$name.key" -out "$name.csr" -subj "$subject" 2>/dev/null
    printf '%s\n' "[v3]" "$@" >"$name.ext"
    if [ "$days" -lt 0 ]; then # expired: `openssl ca` alone takes dates
        : >index.txt
        openssl ca -batch -config <(printf '%s\n' '[ca]' 'default_ca=d' '[d]' 'database=index.txt' 'rand_serial=yes' \
            'policy=p' 'default_md=sha256' 'new_certs_dir=.' '[p]' 'commonName=supplied') \
            -in "$name.csr" -cert "$ca.pem" -keyfile "$ca.key" -extfile "$name.ext" -extensions v3 -notext \
            -startdate 20200101000000Z -enddate 20210101000000Z -out "$name.pem" 2>/dev/null
        rm -f index.txt* [0-9A-F]*.pem
    else
        openssl x509 -req -in "$name.csr" -CA "$ca.pem" -CAkey "$ca.key" -CAcreateserial -days "$days" -sha256 \
            -extfile "$name.ext" -extensions v3 -out "$name.pem" 2>/dev/null
    fi
    openssl x509 -in "$name.pem" -outform DER -out "$name.der"
    rm -f "$name.csr" "$name.ext"
}

build() {
    cd "$1"
    umask 077
    mkdir accepted refused
    local usual=(basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature subjectKeyIdentifier=hash
        authorityKeyIdentifier=keyid)
    ca ca '/CN=imad test CA'
    ca foreign-ca '/CN=imad foreign CA'
    leaf ima ca prime256v1 36500 '/CN=imad test package signing' "${usual[@]}"
    leaf foreign foreign-ca prime256v1 36500 '/CN=imad foreign package signing' "${usual[@]}"
    leaf accepted/rsa ca rsa2048 36500 '/CN=imad test rsa' "${usual[@]}"
    leaf accepted/p384 ca secp384r1 36500 '/CN=imad test p384' "${usual[@]}"
    leaf accepted/expired ca prime256v1 -1 '/CN=imad test expired' "${usual[@]}"
    leaf accepted/no-skid ca prime256v1 36500 '/CN=imad test no skid' "${usual[@]:0:2}" subjectKeyIdentifier=none \
        authorityKeyIdentifier=keyid
    leaf refused/ca-bit ca prime256v1 36500 '/CN=imad test ca bit' basicConstraints=critical,CA:TRUE "${usual[@]:1}"
    leaf refused/key-cert-sign ca prime256v1 36500 '/CN=imad test keyCertSign' "${usual[0]}" \
        keyUsage=critical,digitalSignature,keyCertSign "${usual[@]:2}"
    leaf refused/no-digital-signature ca prime256v1 36500 '/CN=imad test keyEncipherment' "${usual[0]}" \
        keyUsage=critical,keyAgreement "${usual[@]:2}"
    leaf refused/no-key-usage ca prime256v1 36500 '/CN=imad test no usage' "${usual[0]}" "${usual[@]:2}"
    cp foreign.der refused/foreign.der
    openssl x509 -in ca.pem -outform DER -out refused/the-ca.der
    head -c 100 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null >refused/garbage.der
    head -c 200 ima.der >refused/truncated.der
    : >refused/empty.der
}

umask 022
cached keys "$(recipe_hash "${BASH_SOURCE[0]}")" build
echo "$entry"

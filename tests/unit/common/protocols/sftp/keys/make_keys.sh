#!/usr/bin/env bash
# Makes the keys of this directory anew. They open nothing: no account anywhere has them.
#   NAME.openssh  NAME.pem (PKCS#1 or SEC1)  NAME.pkcs8  each also with -encrypted
#   NAME.pub as in authorized_keys, NAME.spki for OpenSSL
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
readonly passphrase="correct horse"

# The key in OpenSSH's format without passphrase is there; the other forms are made of it.
encrypt_openssh() {  # NAME CIPHER FILE
  cp "$1.openssh" "$3"
  chmod 600 "$3"
  ssh-keygen -q -p -Z "$2" -a 1 -P "" -N "$passphrase" -f "$3"
}
finish() {  # NAME
  openssl pkey -in "$1.pkcs8" -pubout -out "$1.spki"
  openssl pkcs8 -topk8 -in "$1.pkcs8" -v2 aes-256-cbc -passout "pass:$passphrase" \
    -out "$1.pkcs8-encrypted"
}
make_by_ssh_keygen() {  # NAME OPTION...
  local name=$1
  shift
  ssh-keygen -q -N "" -C "key for tests" -f "$name.openssh" "$@"
  mv "$name.openssh.pub" "$name.pub"
  encrypt_openssh "$name" aes256-ctr "$name.openssh-encrypted"
  [ "$name" != ed25519 ] || return 0  # ssh-keygen exports it in no other format
  cp "$name.openssh" "$name.pem"
  ssh-keygen -q -p -m PEM -P "" -N "" -f "$name.pem"
  openssl pkey -in "$name.pem" -aes-128-cbc -traditional -passout "pass:$passphrase" \
    -out "$name.pem-encrypted"
  openssl pkcs8 -topk8 -nocrypt -in "$name.pem" -out "$name.pkcs8"
  finish "$name"
}

rm -f -- *.openssh* *.pem* *.pkcs8* *.pub *.spki
make_by_ssh_keygen rsa-2048 -t rsa -b 2048
make_by_ssh_keygen rsa-4096 -t rsa -b 4096
make_by_ssh_keygen ecdsa-256 -t ecdsa -b 256
make_by_ssh_keygen ecdsa-384 -t ecdsa -b 384
make_by_ssh_keygen ecdsa-521 -t ecdsa -b 521
make_by_ssh_keygen ed25519 -t ed25519
openssl genpkey -algorithm ed25519 -out ed25519-of-openssl.pkcs8
finish ed25519-of-openssl

for cipher in aes128-ctr aes192-ctr aes256-ctr aes128-cbc aes192-cbc aes256-cbc 3des-cbc \
  aes128-gcm@openssh.com aes256-gcm@openssh.com chacha20-poly1305@openssh.com; do
  encrypt_openssh ed25519 "$cipher" "ed25519.openssh-${cipher%@openssh.com}"
done
openssl rsa -in rsa-2048.pem -des3 -traditional -passout "pass:$passphrase" -out rsa-2048.pem-des3
# With its parameters in front; with a public key in compressed form.
openssl ecparam -name prime256v1 -genkey -out ecdsa-parameters.pem
openssl ec -in ecdsa-256.pem -conv_form compressed -out ecdsa-compressed.pem
# What is not supported.
openssl genpkey -algorithm ed448 -out unsupported-ed448.pkcs8
openssl ecparam -name secp256k1 -genkey -noout -out unsupported-secp256k1.pem
ssh-keygen -q -t dsa -N "" -C "key for tests" -f unsupported-dsa.openssh
rm unsupported-dsa.openssh.pub
chmod 644 -- *.openssh* *.pem* *.pkcs8* *.pub *.spki

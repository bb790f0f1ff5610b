# Prepares a container as an installer prepares a machine: account ops with $OPERATOR_KEY, sudo, SSH host key. Says what it
# changed, and last its host key.
set -eu
if [ ! -e /etc/ssh/ssh_host_ed25519_key ]; then
  ssh-keygen -q -t ed25519 -N '' -C '' -f /etc/ssh/ssh_host_ed25519_key
  echo 'made a host key'
fi
if ! id ops >/dev/null 2>&1; then
  useradd --create-home --shell /bin/bash ops
  install -m 0440 /dev/stdin /etc/sudoers.d/ops <<RULE
ops ALL=(ALL:ALL) NOPASSWD: ALL
RULE
  install -d -m 0700 -o ops -g ops /home/ops/.ssh
  echo "$OPERATOR_KEY" | install -m 0600 -o ops -g ops /dev/stdin /home/ops/.ssh/authorized_keys
  echo "made the operator's account"
fi
if ! systemctl --quiet is-active ssh.service; then
  systemctl --quiet enable --now ssh.service
  echo 'started the SSH server'
fi
cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub

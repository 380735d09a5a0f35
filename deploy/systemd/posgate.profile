# The configuration that deploy/systemd/install.sh put there.
export POSGATE_CONFIG=/etc/posgate/posgate

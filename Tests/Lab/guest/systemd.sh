# shellcheck shell=bash
# Sourced by init for a job that says `# init: systemd`: a real systemd becomes process 1, with the project's unit file enabled
# and the job as one of its services.

units=/etc/systemd/system

# What this machine's owner has enabled is no part of the guest; neither are start scripts, file systems and a first boot.
empty_machine() {
    rm -rf "$units"/* /etc/rc?.d /etc/init.d
    : > /etc/fstab
    echo 5eed5eed5eed5eed5eed5eed5eed5eed > /etc/machine-id
    # Newer than /usr, so that no cache is made anew.
    touch /etc/.updated /var/.updated
    # Nothing here has a device to settle, a user to let in or a clock to save; each would cost seconds.
    local unit
    for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
        getty.target systemd-logind.service systemd-firstboot.service systemd-hwdb-update.service systemd-binfmt.service \
        proc-sys-fs-binfmt_misc.automount systemd-tmpfiles-setup-dev.service systemd-tmpfiles-clean.timer \
        systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-random-seed.service \
        systemd-modules-load.service systemd-sysctl.service systemd-remount-fs.service dev-hugepages.mount; do
        ln -s /dev/null "$units/$unit"
    done
    # The console is the job's.
    printf '[Manager]\nShowStatus=no\nLogTarget=journal\nLogLevel=notice\n' > /etc/systemd/system.conf
    # Cleaned at boot, which would walk the host's.
    mount -t tmpfs -o mode=1777 tmpfs /var/tmp
}

# The unit as it is installed; only where the program lies is said apart.
install_daemon() {
    cp /mnt/project/systemd/tcmud.service "$units/" || finish 125
    mkdir -p "$units/tcmud.service.d" "$units/multi-user.target.wants"
    printf '[Service]\nExecStart=\nExecStart=%s\n' "$LAB_DAEMON_PROGRAM" > "$units/tcmud.service.d/program.conf"
    ln -s ../tcmud.service "$units/multi-user.target.wants/tcmud.service"
}

# The job has no part in the order of a power-off: it goes on while everything else is stopped and sees what comes of it. The other unit
# keeps systemd from the last step, and from the mounts that the job stands on, until the job has given its verdict.
install_job() {
    cat > "$units/lab-job.service" << 'UNIT'
[Unit]
DefaultDependencies=no
After=sysinit.target lab-hold.service
[Service]
Type=exec
ExecStart=/bin/bash /mnt/project/Tests/Lab/guest/systemd-job
StandardInput=null
StandardOutput=file:/dev/console
StandardError=inherit
UNIT
    cat > "$units/lab-hold.service" << 'UNIT'
[Unit]
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target tcmud.service
RequiresMountsFor=/mnt/share /mnt/project /etc /var/log /var/tmp /tmp
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/bash -c 'until [[ -e /mnt/share/status ]]; do sleep 0.2; done'
TimeoutStopSec=100
UNIT
    ln -s ../lab-job.service ../lab-hold.service "$units/multi-user.target.wants/"
}

become_systemd() {
    empty_machine
    install_daemon
    install_job
    exec /lib/systemd/systemd
    finish 125
}

import Configuration
import KernelFiles
import Testing

extension KernelTree {
    /// A group of ports as the kernel shows it, active/optimized and implicit but for `changes`.
    func addGroup(
        _ name: String, id: Int, of device: SimulatedDevice, members: [String], _ changes: [String: String] = [:]
    ) {
        var files = [
            "tg_pt_gp_id": "\(id)", "alua_access_state": "0", "alua_access_status": "None",
            "alua_access_type": "Implicit", "alua_support_active_optimized": "1",
            "alua_support_active_nonoptimized": "1", "alua_support_standby": "1", "alua_support_unavailable": "0",
            "alua_support_offline": "0", "alua_support_transitioning": "1", "alua_support_lba_dependent": "0",
            "implicit_trans_secs": "0", "nonop_delay_msecs": "0", "trans_delay_msecs": "0", "preferred": "0",
        ]
        files.merge(changes) { $1 }
        for (file, text) in files { write("\(text)\n", to: "\(device.configFS)/alua/\(name)/\(file)") }
        write(members.map { "\($0)\n\0" }.joined(), to: "\(device.configFS)/alua/\(name)/members")
    }

    /// The LUN 0 of an iSCSI portal group.
    func addPort(_ tag: Int, target: String, index: Int, enable: String = "1") {
        let group = "config/target/iscsi/\(target)/tpgt_\(tag)"
        write("\(enable)\n", to: "\(group)/enable")
        write("\(index)\n", to: "\(group)/lun/lun_0/statistics/scsi_port/indx")
        write("5\n", to: "\(group)/lun/lun_0/statistics/scsi_transport/proto_id")
    }

    /// A device in it, as the daemon reaches it.
    func backstore(of device: SimulatedDevice) throws -> Backstore {
        let name = try #require(BackstoreName(hba: 1, name: device.name))
        return configFS.backstore(name)
    }

    /// The tree below the target core's root.
    var configFS: ConfigFSTree { ConfigFSTree(mountedAt: configuration.configFSRoot) }
}

internal import CRBD
internal import SystemPackage

/// Device classes without seek time, by Ceph's names for them.
private let flashClasses = ["ssd", "nvme"]

/// True if `rule` stands in `listing`, the JSON array that `osd crush rule ls-by-class` prints.
///
/// The whole name counts: `replicated` is not on flash because `replicated_ssd` is.
package func crushRule(_ rule: String, isIn listing: String) -> Bool {
    JSONText.stringArray(listing)?.contains(rule) ?? false
}

extension RadosCluster {
    /// Whether the CRUSH rule of `pool` places data on a flash device class only. Blocks: a few monitor commands.
    ///
    /// - Returns: the answer, and a line for the log where the monitors would not tell.
    func poolIsOnFlash(_ pool: String) -> (answer: Bool, note: String?) {
        let name = JSONText.literal(pool)
        let rule: String
        switch monitorCommand(
            #"{"prefix": "osd pool get", "pool": \#(name), "var": "crush_rule", "format": "json"}"#)
        {
        case .success(let text):
            guard let found = JSONText.string(forKey: "crush_rule", in: text) else {
                return (false, "cannot read the CRUSH rule of pool \(pool); taken as rotating")
            }
            rule = found
        case .failure(let errno):
            return (false, "cannot ask for the CRUSH rule of pool \(pool): \(reason(errno)); taken as rotating")
        }
        for deviceClass in flashClasses {
            switch monitorCommand(
                #"{"prefix": "osd crush rule ls-by-class", "class": "\#(deviceClass)", "format": "json"}"#)
            {
            case .success(let listing):
                if crushRule(rule, isIn: listing) { return (true, nil) }
            case .failure(.noSuchFileOrDirectory):
                // No device of this class in the cluster.
                continue
            case .failure(let errno):
                return (
                    false, "cannot list CRUSH rules of class \(deviceClass): \(reason(errno)); taken as rotating"
                )
            }
        }
        return (false, nil)
    }
}

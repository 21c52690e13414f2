#!/usr/bin/python3
"""Takes an image's exclusive lock away as another gateway does: breaks it, which blocklists the owner, and takes it.

Argument: the image's name in pool rbd. Prints the address of each owner that was fenced. CEPH_CONF names the cluster.
"""

import os
import sys

import rados
import rbd


def main():
    with rados.Rados(conffile=os.environ["CEPH_CONF"]) as cluster, cluster.open_ioctx("rbd") as pool:
        with rbd.Image(pool, sys.argv[1]) as image:
            for owner in image.lock_get_owners():
                image.lock_break(rbd.RBD_LOCK_MODE_EXCLUSIVE, owner["owner"])
                print(owner["owner"])
            image.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)


if __name__ == "__main__":
    main()

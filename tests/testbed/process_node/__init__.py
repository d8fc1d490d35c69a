"""A stand-in for a kubelet that runs pods as processes: no root, no container engine, Linux only.

It knows nothing of what it runs. What a container would find in its file system is found by replacing paths in its
command and variables; every pod has an address of the loopback network. What it does not do it says in the pod's
status. `handle` starts it as a process of its own; within, from the outside in:

    kubelet       what is seen → pods          node, provisioner, logs   what else a node offers
    pod           the life of one pod          status, messages, events  what is said of it
    launch        what to start                volumes, environment, rendezvous, paths
    process       starts it behind a shim      shim                      ends all that descends from it
    mirror, api   the API server
    faults        what goes wrong on command   images      what cannot be had, by its name
"""

from testbed.process_node.handle import ProcessNodes as ProcessNodes
from testbed.process_node.handle import checkout_image as checkout_image
from testbed.process_node.settings import Image as Image
from testbed.process_node.settings import NodeSpec as NodeSpec

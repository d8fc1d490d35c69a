"""A real Kubernetes control plane on one machine, and nodes that run pods as processes. Linux only; no root.

    with ControlPlane(folder) as plane, ProcessNodes(plane, [NodeSpec(name="gpu-0", gpus=8)]) as nodes:
        Kubectl(plane)("apply", "-f", "pod.yaml")

`programs` builds what runs, `pki` signs for it, `flags` are its command lines, `processes` starts and stops it,
`control_plane` puts it together; `process_node` is what pods run on. `kubectl`, `namespace`, `pods` and `waiting` are
for tests. `operator` and `playground` alone know of Pet.
"""

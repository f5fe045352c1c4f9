"""`transom doctor`: examines the machine, the installation and a project, and changes nothing.

`checks/` has what is examined. Modules import what they need when it is needed: a broken installation is examined, too.
"""

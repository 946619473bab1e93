# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a labelled data set, and with the ontology that it is read by, before it is trained on.

``audit.run_audit`` reads every file once (``probe``), counts (``tally``), and hands what it saw to the checks, one
module each: ``file_checks``, ``label_checks``, ``duplicates``, ``oddities``, ``ontology_checks``. Each returns
``finding.Finding``. ``report``, ``audit_json`` and ``fix_list`` write them down.
"""

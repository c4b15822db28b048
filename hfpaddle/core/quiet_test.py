import subprocess
import sys


def test_no_advice_to_install_torch():
    code = "from hfpaddle.core.quiet import import_transformers as load; load(); "
    code += "import transformers.processing_utils; import transformers.utils.logging as log; "
    code += "log.get_logger('transformers').warning('another')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "PyTorch" not in done.stderr and "another" in done.stderr

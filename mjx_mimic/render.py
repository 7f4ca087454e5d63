"""placeholder until the render module lands"""

NO_GL = "x"


def choose_gl_backend():
    return None

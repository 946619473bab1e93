# SPDX-License-Identifier: Apache-2.0
# Given as CMAKE_PROJECT_INCLUDE by build.py. The CMake exports of the ROS wheels name the include folders of the Python and
# numpy they were built with (/opt/python/cp3…), which are on no other machine, and CMake refuses targets with such folders.
# When a package has been read, put this Python's folders in their place: the wheels' files stay as they are.
function(offroad_seg_mend_wheel_paths)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(folders MATCHES "/opt/python/cp")
      list(FILTER folders EXCLUDE REGEX "^/opt/python/cp")
      list(APPEND folders ${OFFROAD_SEG_PYTHON_INCLUDES})
      set_property(TARGET ${target} PROPERTY INTERFACE_INCLUDE_DIRECTORIES ${folders})
    endif()
  endforeach()
endfunction()

cmake_language(DEFER CALL offroad_seg_mend_wheel_paths)
